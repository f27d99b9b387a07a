//! References of `shaders/loss/`: what models learn from.

pub mod contrastive_energy_prediction;
pub mod denoising_loss;
pub mod energy_regression;
pub mod ranking_nce;
pub mod ranking_network;

pub use contrastive_energy_prediction::contrastive_energy_prediction;
pub use denoising_loss::denoising_loss;
pub use energy_regression::energy_regression;
pub use ranking_nce::ranking_nce;
pub use ranking_network::ranking_network;
