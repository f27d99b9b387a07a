//! What is learned: a density with exact values, or the rows of a file; and where a model of it is
//! looked at.

use std::path::Path;

use gibbs::math::{Bounds, Offsets, Scales};
use gibbs::mcmc::{Langevin, StepSchedule};
use gibbs::tasks::density::{Density, histogram};
use gibbs::train::Dataset;

use super::common::arguments::Outcome;
use super::evaluate::chains_per_context;

/// Rows of a data set that is drawn from a density.
const DATA_ROWS: usize = 1 << 17;
/// Contexts of a file that pictures and samples are made for.
const CONTEXTS: usize = 4;
/// Cells along each side of the pictures of a file's model.
const CELLS: usize = 128;
/// What a file's run is called in its checkpoint.
const FILE: &str = "file";
const UNCONDITIONAL: &str = "/unconditional";

/// Where the data come from: a density or, without one, a file.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    pub density: Option<Density>,
    pub unconditional: bool,
}

impl Source {
    /// The name that a checkpoint keeps.
    pub fn task(self) -> String {
        let name = self.density.map_or(FILE, Density::name);
        name.to_owned() + if self.unconditional { UNCONDITIONAL } else { "" }
    }

    pub fn of_task(task: &str) -> Outcome<Self> {
        let name = task.strip_suffix(UNCONDITIONAL);
        let density = if task == FILE { None } else { Some(name.unwrap_or(task).parse()?) };
        Ok(Self { density, unconditional: name.is_some() })
    }

    /// The rows to learn from.
    pub fn load(self, file: Option<&Path>, seed: u64) -> Outcome<Dataset> {
        let Some(density) = self.density else {
            let missing = "this run was trained on a file; give the same one with --data FILE";
            return Ok(Dataset::load(file.ok_or(missing)?)?);
        };
        if self.unconditional {
            let y = density.standard_samples(DATA_ROWS, seed).into_flattened();
            return Ok(Dataset::unconditional(y, 2)?);
        }
        let (x, y) = density.samples(DATA_ROWS, seed);
        Ok(Dataset::new(x, 1, y.into_flattened(), 2)?)
    }
}

/// A density with exact values.
pub struct Exact {
    pub density: Density,
    /// Its contexts, one for each of the model's.
    pub contexts: Vec<f32>,
    /// The density in each on the evaluation grid.
    pub grids: Vec<Vec<f64>>,
}

/// The contexts, the box of actions and the grid that a model is measured on.
pub struct Target {
    pub exact: Option<Exact>,
    /// `[contexts, context_width]`, as the model takes them; empty and of width 0 if it takes none.
    pub contexts: Vec<f32>,
    pub context_width: usize,
    /// What contexts and actions are relative to.
    pub offsets: Offsets,
    /// A caption per context.
    pub labels: Vec<String>,
    /// Numbers per action.
    pub dims: usize,
    /// Middle of the box and half its sides in units of `half_width`; all data lie inside.
    center: Vec<f64>,
    stretch: Vec<f64>,
    half_width: f64,
    /// Cells along each side of the grid.
    pub cells: usize,
    /// First and last step size of the chains, in squared scales.
    steps: [f64; 2],
    /// Data units without.
    scales: Option<Scales>,
    /// Actions to draw beside the model's, where one cloud stands for the only context.
    pub cloud: Option<Vec<[f32; 2]>>,
}

impl Target {
    pub fn new(source: Source, data: &Dataset) -> Self {
        let Source { density: Some(density), unconditional } = source else { return Self::of_file(data) };
        let standard = || vec![density.standard_context()];
        let contexts = if unconditional { standard() } else { density.contexts().to_vec() };
        let grids = contexts.iter().map(|&context| density.grid(context.into()).values).collect();
        Self {
            contexts: if unconditional { Vec::new() } else { contexts.clone() },
            context_width: usize::from(!unconditional),
            offsets: Offsets::zeros(usize::from(!unconditional), 2),
            labels: contexts.iter().map(|&x| density.label(x)).collect(),
            exact: Some(Exact { density, contexts, grids }),
            dims: 2,
            center: vec![0.0; 2],
            stretch: vec![1.0; 2],
            half_width: density.half_width(),
            cells: density.cells(),
            steps: [3e-3, 3e-5],
            scales: None,
            cloud: None,
        }
    }

    fn of_file(data: &Dataset) -> Self {
        let dims = data.y_width();
        let frame = data.description().frame();
        let unconditional = data.is_unconditional();
        let drawn: Vec<usize> = data.drawn_rows().collect();
        let count = if unconditional { 1 } else { CONTEXTS.min(drawn.len()) };
        let rows: Vec<usize> =
            (0..count).map(|index| drawn[(2 * index + 1) * drawn.len() / (2 * count)]).collect();
        let (width, name) = (data.x_width(), |row: &usize| format!("row {row}"));
        let cloud = unconditional && dims == 2 && data.weights().is_none();
        Self {
            exact: None,
            contexts: rows.iter().flat_map(|row| data.x()[row * width..][..width].to_vec()).collect(),
            context_width: width,
            offsets: data.offsets().clone(),
            labels: if unconditional { vec!["all".into()] } else { rows.iter().map(name).collect() },
            dims,
            center: frame.iter().map(|[center, _]| *center).collect(),
            stretch: frame.iter().map(|[_, stretch]| *stretch).collect(),
            half_width: 1.0,
            cells: CELLS,
            // As on the pinwheel, whose columns have a variance of about a half.
            steps: [6e-3, 6e-5],
            scales: Some(data.y_deviations()),
            cloud: cloud.then(|| data.y().as_chunks().0.to_vec()),
        }
    }

    pub fn context(&self, index: usize) -> &[f32] {
        &self.contexts[index * self.context_width..(index + 1) * self.context_width]
    }

    /// Lower and upper borders of the box.
    pub fn borders(&self) -> [Vec<f32>; 2] {
        [-1.0, 1.0].map(|sign| {
            let border = |(center, stretch)| (center + sign * self.half_width * stretch) as f32;
            self.center.iter().zip(&self.stretch).map(border).collect()
        })
    }

    /// The chains that are measured: start at the proposal.
    pub fn langevin(&self) -> Langevin {
        let [low, high] = self.borders();
        Langevin::default()
            .with_steps(40)
            .with_step_sizes(StepSchedule::Geometric { first: self.steps[0], last: self.steps[1] })
            .with_bounds(Bounds::new(&low, &high).ok())
            .with_scales(self.scales.clone())
    }

    /// The centers of the grid's cells, for actions of two numbers.
    pub fn grid(&self) -> Vec<f32> {
        histogram::cell_centers(self.half_width, self.cells)
            .flat_map(|place| [0, 1].map(|at| (self.center[at] + self.stretch[at] * place[at]) as f32))
            .collect()
    }

    pub fn cell_area(&self, cells: usize) -> f64 {
        histogram::cell_area(self.half_width, cells) * self.stretch[0] * self.stretch[1]
    }

    /// The density of a cloud of actions on a grid over the box.
    pub fn histogram(&self, points: &[[f32; 2]], cells: usize) -> Vec<f64> {
        let place = |at: usize, value: f32| ((f64::from(value) - self.center[at]) / self.stretch[at]) as f32;
        let placed: Vec<[f32; 2]> =
            points.iter().map(|point| [place(0, point[0]), place(1, point[1])]).collect();
        let area = self.stretch[0] * self.stretch[1];
        let values = histogram::histogram(&placed, self.half_width, cells);
        values.into_iter().map(|value| value / area).collect()
    }

    /// The ends of the chains, in the columns and the units that a file of data has.
    pub fn table(&self, chains: &[f32]) -> String {
        let columns = |letter: char, width: usize| (0..width).map(move |at| format!("{letter}{at}"));
        let names: Vec<String> = columns('x', self.context_width).chain(columns('y', self.dims)).collect();
        let mut text = names.join(",") + "\n";
        let per_context = chains_per_context(self.labels.len(), self.dims);
        for (index, y) in chains.chunks_exact(self.dims).enumerate() {
            let row = self.context(index / per_context).iter().chain(y);
            let offsets = self.offsets.context().iter().chain(self.offsets.action());
            let words = row.zip(offsets).map(|(value, offset)| match *offset == 0.0 {
                true => value.to_string(),
                false => (offset + f64::from(*value)).to_string(),
            });
            text += &(words.collect::<Vec<_>>().join(",") + "\n");
        }
        text
    }
}
