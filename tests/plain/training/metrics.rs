//! The stream of metrics.

use gibbs::train::StepRecord;

use super::runs::{fresh, nce, pinwheel, run_of, train, uniform};

#[test]
fn the_metrics_stream_has_every_step_in_order() {
    let data = pinwheel(300, 1);
    // More steps than the ring remembers, stops that are no divisors of anything.
    let energy = nce().energy.with_hidden(vec![4]);
    let options = run_of(nce().with_negatives(3).with_energy(energy).with_warmup(50), 2600).with_batch(4);
    let mut trainer = fresh(&data, &options);
    let records = train(&mut trainer, 2600, 1517).unwrap();
    let steps: Vec<u64> = records.iter().map(|record| record.step).collect();
    assert_eq!(steps, (0..2600).collect::<Vec<_>>());
    for record in &records {
        let warm = record.step < 50;
        let present = [
            ("energy_loss", !warm),
            ("ess", !warm),
            ("energy_gradient_norm", !warm),
            ("proposal_loss", true),
            ("proposal_gradient_norm", true),
        ];
        assert_eq!(record.values.len(), present.iter().filter(|(_, expected)| *expected).count());
        for (metric, expected) in present {
            let value = record.value(metric);
            assert_eq!(value.is_some(), expected, "{record:?}");
            assert!(value.is_none_or(f32::is_finite), "{record:?}");
        }
        assert!(record.value("ess").is_none_or(|ess| (0.999..4.001).contains(&ess)), "{record:?}");
        assert!(record.steps_per_second > 0.0, "{record:?}");
    }
    let mean = |records: &[StepRecord]| -> f32 {
        records.iter().filter_map(|record| record.value("proposal_loss")).sum::<f32>() / records.len() as f32
    };
    assert!(mean(&records[2400..]) < mean(&records[..200]), "the proposal did not learn");
}

#[test]
fn a_fixed_proposal_has_no_loss() {
    let data = pinwheel(300, 1);
    let mut trainer = fresh(&data, &run_of(nce().with_proposal(uniform()), 5));
    for record in train(&mut trainer, 5, 5).unwrap() {
        let metrics: Vec<&str> = record.values.keys().map(AsRef::as_ref).collect();
        assert_eq!(metrics, ["energy_gradient_norm", "energy_loss", "ess"]);
    }
}
