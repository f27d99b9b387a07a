//! References of `shaders/energy/`: objectives of energy networks.

pub mod contrastive;
pub mod energy_regression;
pub mod ranking_nce;
pub mod ranking_network;

pub use contrastive::contrastive;
pub use energy_regression::energy_regression;
pub use ranking_nce::ranking_nce;
pub use ranking_network::ranking_network;
