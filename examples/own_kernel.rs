//! A kernel of your own: bound by name, tested on every adapter against a closure in f64, then run
//! in a plan.
//!
//! `cargo run --release --example own_kernel`

use gibbs::gpu::run::random;
use gibbs::gpu::run::random::Distribution;
use gibbs::gpu::{DType, KernelSource, Recording, RunState, Tensor, Value};
use gibbs::testing::{Bound, Case, Failure, data, on_every_adapter, wide};
use gibbs::{Gpu, GpuOptions};

/// Records `energy[r] = sum_j (y[r, j]^2 - 1)^2` of points `y: [rows, dims]`.
fn record(recording: &mut Recording, y: Value) -> gibbs::Result<Value> {
    let kernel = KernelSource::new("examples/double_well.wgsl", include_str!("double_well.wgsl"));
    let shape = recording.shape(y)?.clone();
    let energy = recording.scratch("energy", DType::F32, [shape.rows()]);
    recording
        .dispatch(&kernel, "double well")
        .bind("y", y)
        .bind("energy", energy)
        .set("rows", shape.rows() as u32)
        .set("dims", shape.width() as u32)
        .invocations(shape.rows())
        .finish()?;
    Ok(energy)
}

fn test() -> Result<(), Failure> {
    on_every_adapter("double well", &[], |adapter| {
        for (rows, dims) in [(1, 1), (7, 3), (64, 2), (257, 65)] {
            let y = data(1, rows * dims);
            let mut case = Case::new(adapter, format!("double well {rows}x{dims}"));
            let points = case.input("y", [rows, dims], &y);
            let energy = record(&mut case.recording, points)?;
            case.output("energy", energy);
            let results = case.try_run()?;

            let per_row = |f: fn(&f64) -> f64| -> Vec<f64> {
                wide(&y).chunks(dims).map(|row| row.iter().map(f).sum()).collect()
            };
            let expected = per_row(|y| (y * y - 1.0).powi(2));
            // y^4 - 2 y^2 + 1 cancels where y^2 is near 1; its rounding errors do not.
            let magnitudes = per_row(|y| (y * y + 1.0).powi(2));
            results.check("energy", &results.read("energy")?, &expected, Bound::sum(&magnitudes, dims))?;
        }
        Ok(())
    })
}

fn main() -> Result<(), Failure> {
    test()?;
    println!("the kernel equals its closure on every adapter");

    let (rows, dims) = (1 << 18, 2);
    let gpu = Gpu::open(&GpuOptions::default())?;
    let mut recording = Recording::tuned("double well", gpu.target());
    let y = recording.scratch("y", DType::F32, [rows, dims]);
    let stream = recording.stream("points")?;
    random::record(&mut recording, Distribution::Normal, stream, 0, y)?;
    let energy = record(&mut recording, y)?;
    recording.expose(energy, "energy")?;
    RunState::record_advance(&mut recording)?;

    let run = RunState::new(&gpu, 7)?;
    let energies = Tensor::zeros(&gpu, "energy", DType::F32, [rows])?;
    let plan = recording.compile(&gpu, &run.bindings().with("energy", &energies))?;
    plan.run(3)?;

    let sum: f64 = wide(&gpu.read(&energies)?).iter().sum();
    println!("{}", gpu.adapter_name());
    println!("mean energy of {rows} normal points: {:.3} (exactly {})", sum / rows as f64, 2 * dims);
    Ok(())
}
