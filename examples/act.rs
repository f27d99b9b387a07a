//! Loads what `quickstart` or any run wrote, and acts: `cargo run --release --example act -- FILE`
fn main() -> gibbs::Result<()> {
    let gpu = gibbs::Gpu::open(&gibbs::GpuOptions::default())?;
    let path = std::env::args().nth(1).unwrap_or("quickstart.safetensors".into());
    let mut policy = gibbs::policy::Policy::load(&gpu, path)?;
    let observation: Vec<f64> = policy.offsets().context().iter().map(|offset| offset + 0.5).collect();
    let actions =
        if observation.is_empty() { policy.act_for_f64(1)? } else { policy.act_f64(&observation)? };
    println!("{}{actions:?}", policy.describe());
    Ok(())
}
