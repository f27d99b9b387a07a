//! The command line of an example, and its end.

use std::error::Error;
use std::fs::File;
use std::path::PathBuf;
use std::process::{ExitCode, Termination};
use std::str::FromStr;
use std::sync::OnceLock;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, Parser, ValueEnum};
use gibbs::diffusion::{LastSteps, Solver, SolverOptions, TimeGrid};
use gibbs::loss::Labels;
use gibbs::math::Normalize;
use gibbs::{Gpu, GpuOptions, Result};

use super::{files, signals};

/// What a part of an example returns.
pub type Outcome<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Runs an example: reads its arguments, logs, and tells its errors.
pub fn start<A: Parser, T: Termination>(run: impl FnOnce(&A) -> Outcome<T>) -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run(&A::parse()) {
        Ok(end) => end.report(),
        // What was saved and how to go on is told already.
        Err(error) if matches!(error.downcast_ref(), Some(gibbs::Error::Stopped { .. })) => {
            signals::exit_code().map_or(ExitCode::FAILURE, ExitCode::from)
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Where an example runs.
#[derive(Debug, Args)]
pub struct Device {
    /// A part of the adapter's name, such as `llvmpipe` or `nvidia` [default: the best adapter].
    #[arg(long, global = true, value_name = "PART")]
    pub adapter: Option<String>,
    /// How kernel variants are chosen: `table`, `measure`, `measure:FILE` to keep what was
    /// measured, or a file to restore.
    #[arg(long, global = true, value_name = "HOW", default_value = "table")]
    pub tuning: String,
}

impl Device {
    pub fn open(&self) -> Result<Gpu> {
        let options = GpuOptions::default().with_adapter(self.adapter.clone());
        Gpu::open(&options)?.with_tuning(self.tuning.parse()?)
    }
}

/// Where an example runs, and where it writes.
#[derive(Debug, Args)]
pub struct Place {
    #[command(flatten)]
    pub device: Device,
    /// Folder for pictures, metrics and models.
    #[arg(long, default_value = concat!("out/", env!("CARGO_BIN_NAME")))]
    pub out: PathBuf,
}

impl Place {
    /// Makes the folder, keeps other processes out of it, opens the device and says which it is.
    pub fn open(&self) -> Outcome<Gpu> {
        files::make_folder(&self.out)?;
        if LOCKED.get().is_none() {
            let _ = LOCKED.set(files::lock(&self.out)?);
        }
        let gpu = self.device.open()?;
        eprintln!("adapter: {}", gpu.adapter_name());
        Ok(gpu)
    }
}

/// The lock of the folder, until the process ends.
static LOCKED: OnceLock<File> = OnceLock::new();

/// Which options of a list stand on the command line, as they are written there.
pub fn given<A: CommandFactory>(options: &[&str]) -> Vec<String> {
    let matches = A::command().get_matches();
    let stands = |option: &&&str| matches.value_source(option) == Some(ValueSource::CommandLine);
    options.iter().filter(stands).map(|option| format!("--{}", option.replace('_', "-"))).collect()
}

/// How samples of a diffusion model are drawn.
#[derive(Debug, Args)]
pub struct Sampling {
    /// Factor of the energy's gradient; 1 is exact.
    #[arg(long, allow_negative_numbers = true, default_value_t = 1.0)]
    pub guidance: f64,
    /// The solver: ancestral (ddpm), of first order (ddim), DPM-Solver++ of second and third order,
    /// multistep (dpmpp_2m, dpmpp_3m) or of second order with two evaluations a step (dpmpp_2s, the
    /// paper's policies), DPM-Solver of second order, multistep (dpm_2m, the paper's toys; both
    /// with 15 evaluations equally spaced in time and full last steps).
    #[arg(long, value_parser = choice(Solver::ALL, Solver::name), default_value_t = Solver::DpmSolverPlusPlus2M)]
    solver: Solver,
    /// How its times are spaced: in equal steps of time, of the log-SNR, or of the root of time.
    #[arg(long, value_parser = choice(TimeGrid::ALL, TimeGrid::name), default_value_t = TimeGrid::LogSnr)]
    grid: TimeGrid,
    /// Evaluations of the networks per sample.
    #[arg(long, default_value_t = 25)]
    nfe: usize,
    /// The order of a multistep solver's last steps: that of the solver, lowered, or whichever
    /// is better for the grid and the number of evaluations.
    #[arg(long, value_parser = choice(LastSteps::ALL, LastSteps::name), default_value_t = LastSteps::Auto)]
    last_steps: LastSteps,
}

impl Sampling {
    pub fn solver(&self) -> SolverOptions {
        SolverOptions::default()
            .with_solver(self.solver)
            .with_grid(self.grid)
            .with_evaluations(self.nfe)
            .with_last_steps(self.last_steps)
    }
}

/// What samples are normalized to before noise is added, as on a command line: `identity`, or the
/// deviation that they then have, with one scale for all their numbers.
pub fn normalize(words: &str) -> std::result::Result<Normalize, String> {
    let how = match words {
        "identity" => Normalize::Identity,
        number => match number.parse() {
            Ok(deviation) => Normalize::Isotropic { deviation },
            Err(_) => return Err("give `identity` or a number".into()),
        },
    };
    how.check().map(|()| how).map_err(|error| error.to_string())
}

/// A parser of one of the library's choices that lists their names.
pub fn choice<T>(all: &'static [T], name: fn(T) -> &'static str) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + FromStr<Err: Into<Box<dyn Error + Send + Sync>>>,
{
    PossibleValuesParser::new(all.iter().map(move |choice| name(*choice))).try_map(|name| name.parse::<T>())
}

/// Labels of a kind of [`Labels::KINDS`] for energies of which none is below `lowest`.
pub fn labels(kind: &str, lowest: f64) -> Labels {
    let unnormalized = Labels::Unnormalized { reference: lowest };
    if kind == unnormalized.kind() { unnormalized } else { Labels::Normalized }
}

/// What a list of names stands for; the word `all` alone stands for `all`.
pub fn several<T: Clone, E>(
    names: &[String],
    all: &[T],
    parse: impl Fn(&str) -> std::result::Result<T, E>,
) -> std::result::Result<Vec<T>, E> {
    match names {
        [one] if one == "all" => Ok(all.to_vec()),
        names => names.iter().map(|name| parse(name)).collect(),
    }
}

/// The name of a choice of the example's own.
pub fn name_of(choice: impl ValueEnum) -> String {
    choice.to_possible_value().map_or_else(String::new, |value| value.get_name().into())
}
