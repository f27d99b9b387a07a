//! Floor 4: what is kept of each chain, step sizes learned from it, and chains that are lost.

use gibbs::mcmc::begin_chains::{Chain, Memory, StepAdaptation};
use gibbs::mcmc::{adapt_step, begin_chains, count_lost, mark_lost, usable_energy};
use gibbs_reference::mcmc as reference;
use gibbs_reference::mcmc::adapt_step::Tuner;

use super::chains::{BEFORE, SHAPES, at_start, column, last_row, numbers, scales};

use crate::common::{Adapter, Case, data, every_adapter, wide};

every_adapter!(
    the_memory_of_chains_begins_with_their_start,
    the_step_size_is_learned_as_in_the_reference,
    dead_chains_do_not_shrink_the_step,
    lost_chains_are_marked_and_counted,
    energies_of_lost_chains_are_not_usable,
);

fn the_memory_of_chains_begins_with_their_start(adapter: &Adapter) {
    for (index, shape) in SHAPES.into_iter().enumerate() {
        let dims = shape[2];
        let rows = shape[0] * shape[1];
        let (energies, slopes, y) = (data(41, rows), data(42, rows * dims), data(43, rows * dims));
        let mut case = Case::new(adapter, format!("begin {shape:?}"));
        let energy = match index % 2 {
            0 => case.packed("energy", rows, 1, &energies),
            _ => case.input("energy", [rows, 1], &energies),
        };
        let gradient = case.input("gradient", shape, &slopes);
        let value = case.input("y", shape, &y);
        let units = scales(dims);
        let scales = case.input("scales", [dims], &units);
        let memory = begin_chains::record(&mut case.recording, (energy, gradient), scales, value).unwrap();
        case.output("cache", memory.cache);
        case.output("step_adaptation", memory.step_adaptation);
        case.expect_kernels(&["begin_chains"]);
        let results = case.run();
        let expected = reference::begin_chains(&wide(&energies), &wide(&slopes), &wide(&units), &wide(&y));
        results.expect("cache", &results.get("cache"), &expected, |_: usize| 0.0);
        assert_eq!(results.get::<f32>("step_adaptation"), numbers(&at_start()));
        assert_eq!(results.get::<f32>("y"), y);
    }
    // What is not finite about a start shows in it.
    let mut case = Case::new(adapter, "begin with faults");
    let energy = case.input("energy", [4, 1], &[1.0, f32::NAN, 2.0, 3.0]);
    let gradient = case.input("gradient", [1, 4, 2], &[0.1, 0.2, 0.3, 0.4, f32::INFINITY, 0.6, 0.7, 0.8]);
    let value = case.input("y", [1, 4, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, f32::NAN]);
    let scales = case.input("scales", [2], &[1.0, 2.0]);
    let memory = begin_chains::record(&mut case.recording, (energy, gradient), scales, value).unwrap();
    case.output("cache", memory.cache);
    let results = case.run();
    let y: Vec<f32> = results.get("y");
    assert_eq!((y[0], y[1], y[5]), (1.0, 2.0, 6.0), "{}", adapter.name);
    assert_eq!(column(&results, 2, |chain| chain.dead), [0.0, 1.0, 1.0, 1.0], "{}", adapter.name);
    assert!([y[2], y[3], y[4]].iter().all(|v| !v.is_finite()), "{}: {y:?}", adapter.name);
}

fn the_step_size_is_learned_as_in_the_reference(adapter: &Adapter) {
    for (rows, dims, steps) in [(1, 1, 4), (7, 3, 9), (255, 2, 1), (257, 5, 6), (1000, 1, 12)] {
        let chances: Vec<f32> = data(45, rows).iter().map(|v| v.abs()).collect();
        let mut case = Case::new(adapter, format!("adapt {rows} rows, {steps} steps"));
        let rows_of_memory: Vec<f32> = chances
            .iter()
            .flat_map(|&acceptance| [numbers(&chain_of(acceptance, 0.0)).to_vec(), vec![7.0; dims]].concat())
            .chain(last_row(&scales(dims)))
            .collect();
        let memory = Memory {
            cache: case.input("cache", [rows + 1, Chain::WORDS + dims], &rows_of_memory),
            step_adaptation: case.input("step_adaptation", [StepAdaptation::WORDS], numbers(&at_start())),
        };
        for index in 0..steps {
            adapt_step::record(&mut case.recording, &memory, 0.6, (index, steps)).unwrap();
        }
        case.expect_kernels(&vec!["adapt_step"; steps]);
        let results = case.run();
        let acceptance = wide(&chances).iter().sum::<f64>() / rows as f64;
        let mut step_adaptation = Tuner { factor: 1.0, log_mean: 0.0, deficit: 0.0 };
        for t in 1..=steps {
            step_adaptation = reference::adapt_step(step_adaptation, acceptance, 0.6, t, steps);
        }
        let expected =
            [step_adaptation.factor, step_adaptation.log_mean, step_adaptation.deficit, acceptance];
        // The deficit is multiplied by up to 20 sqrt(12), its logarithm's error is relative to the
        // factor.
        let bound = [1e-4 * step_adaptation.factor, 3e-5, 1e-6, 1e-6];
        results.expect("step_adaptation", &results.get("step_adaptation"), &expected, &bound[..]);
    }
}

fn chain_of(acceptance: f32, dead: f32) -> Chain {
    Chain { acceptance, dead, ..BEFORE }
}

fn dead_chains_do_not_shrink_the_step(adapter: &Adapter) {
    for (rows, every) in [(1, 1), (7, 2), (257, 3), (1000, 1)] {
        let chances: Vec<f32> = data(47, rows).iter().map(|v| v.abs()).collect();
        let dead = |row: usize| row.is_multiple_of(every);
        let chains: Vec<f32> = (0..rows)
            .flat_map(|row| match dead(row) {
                true => numbers(&chain_of(0.0, 1.0)).to_vec(),
                false => numbers(&chain_of(chances[row], 0.0)).to_vec(),
            })
            .chain(last_row(&[]))
            .collect();
        let mut case = Case::new(adapter, format!("adapt, every {every} of {rows} dead"));
        let memory = Memory {
            cache: case.input("cache", [rows + 1, Chain::WORDS], &chains),
            step_adaptation: case.input("step_adaptation", [StepAdaptation::WORDS], numbers(&at_start())),
        };
        for index in 0..3 {
            adapt_step::record(&mut case.recording, &memory, 0.6, (index, 3)).unwrap();
        }
        let results = case.run();
        let living: Vec<f64> =
            (0..rows).filter(|&row| !dead(row)).map(|row| f64::from(chances[row])).collect();
        // Without a living chain the acceptance is taken for the one wanted.
        let acceptance = match living.len() {
            0 => 0.6,
            count => living.iter().sum::<f64>() / count as f64,
        };
        let mut step_adaptation = Tuner { factor: 1.0, log_mean: 0.0, deficit: 0.0 };
        for t in 1..=3 {
            step_adaptation = reference::adapt_step(step_adaptation, acceptance, 0.6, t, 3);
        }
        let expected =
            [step_adaptation.factor, step_adaptation.log_mean, step_adaptation.deficit, acceptance];
        let bound = [1e-4 * step_adaptation.factor, 3e-5, 1e-6, 1e-6];
        results.expect("step_adaptation", &results.get("step_adaptation"), &expected, &bound[..]);
    }
}

fn lost_chains_are_marked_and_counted(adapter: &Adapter) {
    for (index, shape) in SHAPES.into_iter().enumerate() {
        let [contexts, chains, dims] = shape;
        let mut y = data(48, contexts * chains * dims);
        for at in (0..y.len()).filter(|at| at % (5 + dims) == index) {
            y[at] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][at % 3];
        }
        let mut case = Case::new(adapter, format!("lost {shape:?}"));
        let value = case.input("y", shape, &y);
        let marks = mark_lost::record(&mut case.recording, value).unwrap();
        let counts = count_lost::record(&mut case.recording, marks).unwrap();
        case.output("marks", marks);
        case.output("counts", counts);
        case.expect_kernels(&["mark_lost", "count_lost"]);
        let results = case.run();
        let expected = reference::mark_lost(&wide(&y), dims);
        results.expect("marks", &results.get("marks"), &expected, |_: usize| 0.0);
        let expected = reference::count_lost(&expected, chains);
        results.expect("counts", &results.get("counts"), &expected, |_: usize| 0.0);
    }
}

fn energies_of_lost_chains_are_not_usable(adapter: &Adapter) {
    for (index, shape) in SHAPES.into_iter().enumerate() {
        let [contexts, chains, dims] = shape;
        let rows = contexts * chains;
        let (mut y, mut energies) = (data(54, rows * dims), data(55, rows));
        for at in (0..y.len()).filter(|at| at % (5 + dims) == index) {
            y[at] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][at % 3];
        }
        // Energies that are not finite, and the largest of the finite ones, pass as they are.
        for at in (0..rows).filter(|at| at % 4 == 2) {
            energies[at] = [f32::NAN, f32::INFINITY, f32::MAX, -f32::MAX][at / 4 % 4];
        }
        let mut case = Case::new(adapter, format!("usable energy {shape:?}"));
        let energy = match index % 2 {
            0 => case.packed("energy", rows, 1, &energies),
            _ => case.input("energy", [rows, 1], &energies),
        };
        let value = case.input("y", shape, &y);
        let usable = usable_energy::record(&mut case.recording, energy, value).unwrap();
        case.output("usable", usable);
        case.expect_kernels(&["usable_energy"]);
        let results = case.run();
        let expected = reference::usable_energy(&wide(&energies), &wide(&y), dims);
        for (row, (found, expected)) in results.get::<f32>("usable").iter().zip(expected).enumerate() {
            let what = format!("{}: row {row} is {found}, not {expected}", adapter.name);
            assert!(f64::from(*found) == expected || found.is_nan() && expected.is_nan(), "{what}");
        }
    }
}
