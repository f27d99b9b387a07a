//! References of `shaders/energy/`: objectives of energy networks.

pub mod ranking_nce;
pub mod ranking_network;

pub use ranking_nce::ranking_nce;
pub use ranking_network::ranking_network;
