//! The names of the tasks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A density with an energy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// A roll of one and a half turns, thick 0.2, `(a cos a, a sin a) / 5` with `a` uniform in (1.5
    /// pi, 4.5 pi); `E = -|x|^2 / 9`, of the noisy point.
    SwissRoll,
    /// Eight Gaussians on a circle, numbered anticlockwise from the top; `E = -k / 7` for the one
    /// it was drawn from.
    #[default]
    EightGaussians,
    /// Two moons; `E` is -1 on the second, the lower one, and 0 on the first.
    Moons,
    /// Four rings of equal mass; `E` is -0.667, -0.333, -1 and 0 from the outside in.
    Rings,
    /// A board of four columns and rows; `E` is -1 in the first and third column from the left,
    /// else 0.
    Checkerboard,
    /// Two spiral arms, the point at `n = 3 pi sqrt(u)` along one; `E = -(1 - n / 10)`, lowest at
    /// the middle.
    TwoSpirals,
}

/// The name of no [`Task`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown task `{0}`; known are {all}", all = Task::ALL.map(Task::name).join(", "))]
pub struct UnknownTask(pub String);

impl Task {
    /// Every task.
    pub const ALL: [Task; 6] = [
        Task::SwissRoll,
        Task::EightGaussians,
        Task::Moons,
        Task::Rings,
        Task::Checkerboard,
        Task::TwoSpirals,
    ];

    /// The lower-case name, as in serde and [`FromStr`].
    pub fn name(self) -> &'static str {
        match self {
            Task::SwissRoll => "swiss_roll",
            Task::EightGaussians => "eight_gaussians",
            Task::Moons => "moons",
            Task::Rings => "rings",
            Task::Checkerboard => "checkerboard",
            Task::TwoSpirals => "two_spirals",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Task {
    type Err = UnknownTask;

    fn from_str(name: &str) -> Result<Self, UnknownTask> {
        Task::ALL.into_iter().find(|task| task.name() == name).ok_or_else(|| UnknownTask(name.to_owned()))
    }
}
