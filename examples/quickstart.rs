//! Data from a slice, train, save, load, act: `cargo run --release --example quickstart`

use gibbs::policy::Policy;
use gibbs::train::{Dataset, TrainOptions, Trainer};
use gibbs::{Gpu, GpuOptions};

fn main() -> gibbs::Result<()> {
    let gpu = Gpu::open(&GpuOptions::default())?;

    // Whatever is observed, x, one of two answers is right: x or -x.
    let x: Vec<f32> = (0..4096).map(|row| row as f32 / 2048.0 - 1.0).collect();
    let y: Vec<f32> = x.iter().enumerate().map(|(row, x)| if row % 2 == 0 { *x } else { -x }).collect();
    let data = Dataset::new(x, 1, y, 1)?;

    let mut trainer = Trainer::new(&gpu, &data, TrainOptions::ranking_nce().with_steps(300))?;
    trainer.train(300, 100, &mut ())?;
    trainer.save("quickstart.safetensors")?;

    let mut policy = Policy::load(&gpu, "quickstart.safetensors")?;
    print!("{}", policy.describe());
    for observation in [-0.8, 0.1, 0.5] {
        println!("at {observation}: {:?}", policy.act(&[observation])?);
    }
    Ok(())
}
