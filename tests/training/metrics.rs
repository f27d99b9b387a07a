//! The stream of metrics.

use gibbs::train::{EnergyOptions, RnceOptions, StepRecord};

use super::runs::{fresh, pinwheel, tiny, train, uniform};

#[test]
fn the_metrics_stream_has_every_step_in_order() {
    let data = pinwheel(300, 1);
    // More steps than the ring remembers, stops that are no divisors of anything.
    let energy = EnergyOptions { hidden: vec![4], ..tiny(1).energy };
    let options = RnceOptions { batch: 4, negatives: 3, energy, warmup: 50, ..tiny(2600) };
    let mut trainer = fresh(&data, &options);
    let records = train(&mut trainer, 2600, 1517).unwrap();
    let steps: Vec<u64> = records.iter().map(|record| record.step).collect();
    assert_eq!(steps, (0..2600).collect::<Vec<_>>());
    for record in &records {
        let warm = record.step < 50;
        let present = [
            (record.energy_loss, !warm),
            (record.ess, !warm),
            (record.energy_gradient_norm, !warm),
            (record.proposal_loss, true),
            (record.proposal_gradient_norm, true),
        ];
        for (value, expected) in present {
            assert_eq!(value.is_some(), expected, "{record:?}");
            assert!(value.is_none_or(f32::is_finite), "{record:?}");
        }
        assert!(record.ess.is_none_or(|ess| (0.999..4.001).contains(&ess)), "{record:?}");
        assert!(record.steps_per_second > 0.0, "{record:?}");
    }
    let mean = |records: &[StepRecord]| -> f32 {
        records.iter().filter_map(|record| record.proposal_loss).sum::<f32>() / records.len() as f32
    };
    assert!(mean(&records[2400..]) < mean(&records[..200]), "the proposal did not learn");
}

#[test]
fn a_fixed_proposal_has_no_loss() {
    let data = pinwheel(300, 1);
    let mut trainer = fresh(&data, &RnceOptions { proposal: uniform(), ..tiny(5) });
    for record in train(&mut trainer, 5, 5).unwrap() {
        assert!(record.energy_loss.is_some() && record.ess.is_some(), "{record:?}");
        assert!(record.proposal_loss.is_none() && record.proposal_gradient_norm.is_none(), "{record:?}");
    }
}
