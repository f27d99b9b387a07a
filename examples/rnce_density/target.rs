//! What is learned: a density with exact values, or the rows of a file; and where a model of it is looked at.

use std::path::Path;

use gibbs::proposal::UniformBox;
use gibbs::sampler::{Anneal, Langevin};
use gibbs::tasks::density::{Density, measure};
use gibbs::train::Dataset;

/// Rows of a data set that is drawn from a density.
const DATA_ROWS: usize = 1 << 17;
/// Contexts of a file that pictures and samples are made for.
const CONTEXTS: usize = 4;
/// Cells along each side of the pictures of a file's model.
const CELLS: usize = 128;
/// What a file's run is called in its checkpoint.
const FILE: &str = "file";
const UNCONDITIONAL: &str = "/unconditional";

/// Where the data come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    Density { density: Density, unconditional: bool },
    File,
}

impl Source {
    /// The name that a checkpoint keeps.
    pub fn task(self) -> String {
        match self {
            Source::Density { density, unconditional: false } => density.name().into(),
            Source::Density { density, unconditional: true } => format!("{density}{UNCONDITIONAL}"),
            Source::File => FILE.into(),
        }
    }

    pub fn of_task(task: &str) -> Result<Self, Box<dyn std::error::Error>> {
        if task == FILE {
            return Ok(Source::File);
        }
        let name = task.strip_suffix(UNCONDITIONAL);
        Ok(Source::Density { density: name.unwrap_or(task).parse()?, unconditional: name.is_some() })
    }

    pub fn density(self) -> Option<Density> {
        match self {
            Source::Density { density, .. } => Some(density),
            Source::File => None,
        }
    }

    /// The rows to learn from.
    pub fn load(self, file: Option<&Path>, seed: u64) -> Result<Dataset, Box<dyn std::error::Error>> {
        Ok(match (self, file) {
            (Source::Density { density, unconditional: true }, _) => {
                Dataset::unconditional(density.standard_samples(DATA_ROWS, seed).into_flattened(), 2)?
            }
            (Source::Density { density, unconditional: false }, _) => {
                let (x, y) = density.samples(DATA_ROWS, seed);
                Dataset::new(x, 1, y.into_flattened(), 2)?
            }
            (Source::File, Some(file)) => Dataset::load(file)?,
            (Source::File, None) => {
                return Err("this run was trained on a file; give the same one with --data FILE".into());
            }
        })
    }
}

/// The contexts, the box of actions and the grid that a model is measured on.
#[derive(Clone, Debug)]
pub struct Target {
    pub source: Source,
    /// `[contexts, context_width]`, as the model takes them.
    pub contexts: Vec<f32>,
    pub context_width: usize,
    /// A caption per context.
    pub labels: Vec<String>,
    /// Numbers per action.
    pub dims: usize,
    /// Middle of the box and half its sides in units of `half_width`; all data lie inside.
    centre: Vec<f64>,
    stretch: Vec<f64>,
    half_width: f64,
    /// Cells along each side of the grid.
    pub cells: usize,
    /// First and last step size of the chains.
    steps: [f64; 2],
    /// Actions to draw beside the model's, where one cloud stands for the only context.
    pub cloud: Option<Vec<[f32; 2]>>,
}

impl Target {
    pub fn new(source: Source, data: &Dataset) -> Self {
        match source {
            Source::Density { density, unconditional } => Self {
                source,
                contexts: if unconditional { vec![0.0] } else { density.contexts().to_vec() },
                context_width: 1,
                labels: truth_contexts(density, unconditional).iter().map(|&x| density.label(x)).collect(),
                dims: 2,
                centre: vec![0.0; 2],
                stretch: vec![1.0; 2],
                half_width: density.half_width(),
                cells: density.cells(),
                steps: [3e-3, 3e-5],
                cloud: None,
            },
            Source::File => Self::of_file(data),
        }
    }

    fn of_file(data: &Dataset) -> Self {
        let dims = data.y_width();
        let (mut centre, mut stretch, mut least) = (Vec::new(), Vec::new(), f64::INFINITY);
        for column in 0..dims {
            let values = || data.y().iter().skip(column).step_by(dims).map(|&value| f64::from(value));
            let (low, high) =
                (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
            let mean = values().sum::<f64>() / data.rows() as f64;
            let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / data.rows() as f64;
            let middle = 0.5 * (low + high);
            centre.push(middle);
            // A tenth more than the data, and a box even round a column that does not vary.
            let even = if low == high { 1e-3 * middle.abs() } else { 1e-6 * middle.abs() };
            stretch.push((0.55 * (high - low)).max(even).max(1e-6));
            if variance > 0.0 {
                least = least.min(variance);
            }
        }
        let unconditional = data.is_unconditional();
        let count = if unconditional { 1 } else { CONTEXTS.min(data.rows()) };
        let rows: Vec<usize> = (0..count).map(|index| (2 * index + 1) * data.rows() / (2 * count)).collect();
        let width = data.x_width();
        let cloud = unconditional && dims == 2 && data.weights().is_none();
        Self {
            source: Source::File,
            contexts: rows
                .iter()
                .flat_map(|row| &data.x()[row * width..(row + 1) * width])
                .copied()
                .collect(),
            context_width: width,
            labels: match unconditional {
                true => vec!["all".into()],
                false => rows.iter().map(|row| format!("row {row}")).collect(),
            },
            dims,
            centre,
            stretch,
            half_width: 1.0,
            cells: CELLS,
            // As on the pinwheel, whose columns have a variance of about a half.
            steps: [6e-3, 6e-5].map(|step| step * if least.is_finite() { least } else { 1.0 }),
            cloud: cloud.then(|| data.y().chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect()),
        }
    }

    /// The contexts of the exact density, one for each of the model's.
    pub fn truth_contexts(&self) -> Vec<f32> {
        match self.source {
            Source::Density { density, unconditional } => truth_contexts(density, unconditional),
            Source::File => Vec::new(),
        }
    }

    pub fn context(&self, index: usize) -> &[f32] {
        &self.contexts[index * self.context_width..(index + 1) * self.context_width]
    }

    /// Lower and upper borders of the box.
    pub fn borders(&self) -> [Vec<f32>; 2] {
        [-1.0, 1.0].map(|sign| {
            let border = |(centre, stretch)| (centre + sign * self.half_width * stretch) as f32;
            self.centre.iter().zip(&self.stretch).map(border).collect()
        })
    }

    /// The chains that are measured: start at the proposal, steps in squared data units.
    pub fn langevin(&self) -> Langevin {
        let [low, high] = self.borders();
        Langevin {
            steps: 40,
            sizes: Anneal::Geometric { first: self.steps[0], last: self.steps[1] },
            bounds: UniformBox::new(&low, &high).ok(),
            ..Langevin::default()
        }
    }

    /// The centres of the grid's cells, for actions of two numbers.
    pub fn grid(&self) -> Vec<f32> {
        measure::cell_centres(self.half_width, self.cells)
            .flat_map(|place| [0, 1].map(|at| (self.centre[at] + self.stretch[at] * place[at]) as f32))
            .collect()
    }

    pub fn cell_area(&self, cells: usize) -> f64 {
        measure::cell_area(self.half_width, cells) * self.stretch[0] * self.stretch[1]
    }

    /// The density of a cloud of actions on a grid over the box.
    pub fn histogram(&self, points: &[[f32; 2]], cells: usize) -> Vec<f64> {
        let place = |at: usize, value: f32| ((f64::from(value) - self.centre[at]) / self.stretch[at]) as f32;
        let placed: Vec<[f32; 2]> =
            points.iter().map(|point| [place(0, point[0]), place(1, point[1])]).collect();
        let area = self.stretch[0] * self.stretch[1];
        let values = measure::histogram(&placed, self.half_width, cells);
        values.into_iter().map(|value| value / area).collect()
    }
}

fn truth_contexts(density: Density, unconditional: bool) -> Vec<f32> {
    match unconditional {
        true => vec![density.standard_context()],
        false => density.contexts().to_vec(),
    }
}
