//! Groups of noised samples that share one time.

use crate::gpu::{Recording, Value};
use crate::nn::{ACTION, CONTEXT, TIME};
use crate::{Error, Result};

/// Noised samples `x_t` in groups, each with one time and, for conditional energies, one context.
///
/// The contrastive loss compares the samples of a group, from which the free constant of an
/// intermediate energy, `C(t)` or `C(s, t)`, cancels only if they share time and context. So there
/// is no place here for a time per sample: the network takes the row of a group for all of its
/// samples.
///
/// ```
/// # use gibbs::loss::TimedGroups;
/// # use gibbs::gpu::{DType, Recording};
/// let mut recording = Recording::new("groups");
/// let x = recording.slot("x", DType::F32, [5, 16, 2])?;
/// let times = recording.slot("times", DType::F32, [5, 1])?;
/// assert_eq!(TimedGroups::new(&recording, x, times, None)?.size(), 16);
/// let per_sample = recording.slot("per sample", DType::F32, [5, 16])?;
/// assert!(TimedGroups::new(&recording, x, per_sample, None).is_err());
/// # Ok::<(), gibbs::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TimedGroups {
    x: Value,
    time: Value,
    context: Option<Value>,
    /// Groups, samples of each, dimensions.
    shape: [usize; 3],
}

impl TimedGroups {
    /// Takes samples, times and contexts together.
    ///
    /// * `x`: `[groups, size, dims]`, data units; `time`: `[groups, 1]`, 0 for data; `context`:
    ///   `[groups, width]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if shapes do not fit, or one of the sizes is 0.
    pub fn new(recording: &Recording, x: Value, time: Value, context: Option<Value>) -> Result<Self> {
        let operation = "groups of one time each";
        let found = recording.shape(x)?;
        let shape = match *found.dims() {
            [groups, size, dims] if !found.is_padded() && groups > 0 && size > 0 && dims > 0 => {
                [groups, size, dims]
            }
            _ => {
                let hint = "give the samples of each group together, at least one";
                return Err(Error::shape(operation, "x", found, "[groups, size, dims]", hint));
            }
        };
        let groups = shape[0];
        let found = recording.shape(time)?;
        if *found.dims() != [groups, 1] || found.is_padded() {
            let expected = format!("[{groups}, 1]");
            let hint = "all samples of a group share one time: give one per group, not one per sample";
            return Err(Error::shape(operation, "time", found, expected, hint));
        }
        if let Some(context) = context {
            let found = recording.shape(context)?;
            if found.dims().len() != 2 || found.rows() != groups || found.is_padded() || found.is_empty() {
                let expected = format!("[{groups}, width]");
                let hint = "all samples of a group share one context: give one per group";
                return Err(Error::shape(operation, "context", found, expected, hint));
            }
        }
        Ok(Self { x, time, context, shape })
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.shape[0]
    }

    /// Samples of each group.
    pub fn size(&self) -> usize {
        self.shape[1]
    }

    /// Dimensions of a sample.
    pub fn dims(&self) -> usize {
        self.shape[2]
    }

    /// Samples of all groups.
    pub fn rows(&self) -> usize {
        self.groups().saturating_mul(self.size())
    }

    /// The samples, `[groups, size, dims]`.
    pub fn x(&self) -> Value {
        self.x
    }

    /// The times, `[groups, 1]`.
    pub fn time(&self) -> Value {
        self.time
    }

    /// The contexts, `[groups, width]`.
    pub fn context(&self) -> Option<Value> {
        self.context
    }

    /// The inputs of a network over noised samples, by name: [`ACTION`], [`TIME`] and, if there are
    /// contexts, [`CONTEXT`].
    pub fn inputs(&self) -> Vec<(&'static str, Value)> {
        let context = self.context.map(|context| (CONTEXT, context));
        [(ACTION, self.x), (TIME, self.time)].into_iter().chain(context).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{DType, Shape};

    /// Shapes of x, time and context.
    fn groups(x: Shape, time: Shape, context: Option<Shape>) -> Result<TimedGroups> {
        let mut recording = Recording::new("groups");
        let mut slot = |name: &str, shape: Shape| recording.slot(name, DType::F32, shape);
        let (x, time) = (slot("x", x)?, slot("time", time)?);
        let context = context.map(|shape| slot("context", shape)).transpose()?;
        TimedGroups::new(&recording, x, time, context)
    }

    #[test]
    fn a_group_has_one_time_and_one_context() {
        let plain = groups([3, 7, 2].into(), [3, 1].into(), None).unwrap();
        assert_eq!((plain.groups(), plain.size(), plain.dims(), plain.rows()), (3, 7, 2, 21));
        let names = |groups: &TimedGroups| groups.inputs().iter().map(|input| input.0).collect::<Vec<_>>();
        assert_eq!(names(&plain), [ACTION, TIME]);
        let conditional = groups([3, 7, 2].into(), [3, 1].into(), Some([3, 5].into())).unwrap();
        assert_eq!(names(&conditional), [ACTION, TIME, CONTEXT]);
        assert_eq!(groups([1, 1, 1].into(), [1, 1].into(), None).unwrap().rows(), 1);
    }

    #[test]
    fn other_shapes_are_refused() {
        let x = || Shape::from([3, 7, 2]);
        for time in [[3, 7].into(), [21, 1].into(), [1, 1].into(), [3].into(), Shape::packed(3, 1)] {
            let error = groups(x(), time, None).unwrap_err();
            assert!(error.to_string().contains("one per group, not one per sample"), "{error}");
        }
        for context in [[21, 5].into(), [1, 5].into(), [3, 0].into(), [3].into(), Shape::packed(3, 5)] {
            assert!(groups(x(), [3, 1].into(), Some(context)).is_err());
        }
        for x in [[0, 7, 2].into(), [3, 0, 2].into(), [3, 7, 0].into(), [21, 2].into(), Shape::packed(21, 2)]
        {
            assert!(groups(x, [3, 1].into(), None).is_err());
        }
    }
}
