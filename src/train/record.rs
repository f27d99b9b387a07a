//! The metrics stream.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// One line of the metrics stream. In JSON its metrics stand beside `step`, and a value that is not
/// finite is `null`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step, counted from 0.
    pub step: u64,
    /// What the step measured, by name: before the update, the mean loss of the batch; before
    /// clipping, the norms of the gradients; the mean effective sample size of the candidates or
    /// labels. What a step does not measure is absent.
    ///
    /// Ranking NCE: `energy_loss`, `ess`, `energy_gradient_norm` (not while the proposal warms up),
    /// `proposal_loss` in nats of data units, `proposal_gradient_norm` (with a proposal that is
    /// trained). Scores and intermediate energies: `loss`, `gradient_norm`, and `ess` if labels are
    /// contrasted.
    #[serde(flatten, deserialize_with = "nulls_are_not_finite")]
    pub values: BTreeMap<Cow<'static, str>, f32>,
    /// Steps per second since training began or went on, by the host's clock.
    pub steps_per_second: f64,
}

impl StepRecord {
    /// A metric, if the step measured it.
    pub fn value(&self, metric: &str) -> Option<f32> {
        self.values.get(metric).copied()
    }
}

fn nulls_are_not_finite<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<BTreeMap<Cow<'static, str>, f32>, D::Error> {
    let values = BTreeMap::<String, Option<f32>>::deserialize(deserializer)?;
    Ok(values.into_iter().map(|(name, value)| (name.into(), value.unwrap_or(f32::NAN))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_what_they_write() {
        let values = [("energy_loss".into(), 0.1f32), ("ess".into(), 3.0)].into();
        let record = StepRecord { step: 7, values, steps_per_second: 2.5 };
        let text = serde_json::to_string(&record).unwrap();
        let written: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(written["step"], 7);
        assert_eq!(written["energy_loss"].as_f64().map(|value| value as f32), Some(0.1));
        assert_eq!(serde_json::from_str::<StepRecord>(&text).unwrap(), record);
        assert_eq!((record.value("ess"), record.value("proposal_loss")), (Some(3.0), None));
        // A line of another kind is no record.
        assert!(serde_json::from_str::<StepRecord>(r#"{"step": 7, "bhattacharyya": 0.9}"#).is_err());
    }

    #[test]
    fn a_value_that_is_not_finite_is_null() {
        let record =
            StepRecord { step: 0, values: [("loss".into(), f32::NAN)].into(), steps_per_second: 1.0 };
        let text = serde_json::to_string(&record).unwrap();
        assert!(text.contains("\"loss\":null"), "{text}");
        assert!(serde_json::from_str::<StepRecord>(&text).unwrap().values["loss"].is_nan());
    }
}
