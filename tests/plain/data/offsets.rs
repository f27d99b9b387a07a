//! Columns far from 0: what 32-bit numbers do not resolve is learned relative to an offset, and
//! what leaves is absolute again.

use std::path::Path;

use gibbs::math::{Bounds, Offsets};
use gibbs::mcmc::Langevin;
use gibbs::nn::{ACTION, Activation, CONTEXT, Input, Network, TIME};
use gibbs::policy::{ChainInference, Policy, PolicyOptions};
use gibbs::train::{
    CsvColumns, Dataset, Draw, ProposalOptions, RankingNceOptions, Rows64, RunDescription, TrainOptions,
    Trainer,
};

use super::{gpu, tensors, tiny, trained};

const ROWS: usize = 200;
const X: f64 = -3e8;
const Y: f64 = 1.7e9;

/// Numbers round 0 of 20 bits behind the point: sums with the offsets above are exact in 64 bits.
fn waves(width: usize, rate: f64) -> Vec<f64> {
    let wave = |at: usize| ((rate * at as f64).sin() * f64::from(1 << 20)).round() / f64::from(1 << 20);
    (0..ROWS * width).map(wave).collect()
}

/// Contexts of one column and actions of two, near 0.
fn near() -> (Vec<f64>, Vec<f64>) {
    (waves(1, 0.37), waves(2, 0.73))
}

/// The same with an offset on the context and on the second number of the action.
fn far() -> (Vec<f64>, Vec<f64>) {
    let (x, y) = near();
    let y = y.iter().enumerate().map(|(at, value)| if at % 2 == 1 { Y + value } else { *value });
    (x.iter().map(|value| X + value).collect(), y.collect())
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

fn table((x, y): &(Vec<f64>, Vec<f64>)) -> String {
    let rows = x.iter().zip(y.as_chunks::<2>().0);
    let lines = rows.map(|(x, [y0, y1])| format!("{x},{y0},{y1}\n"));
    "x0,y0,y1\n".to_owned() + &lines.collect::<String>()
}

fn read(text: &str) -> Dataset {
    Dataset::from_csv_reader(text.as_bytes(), &CsvColumns::default()).unwrap()
}

fn saved(data: &Dataset, options: TrainOptions, path: &Path) -> Trainer {
    let mut trainer = Trainer::new(gpu(), data, options).unwrap();
    trainer.save(path).unwrap();
    trainer
}

#[track_caller]
fn refused<T>(result: gibbs::Result<T>, words: &[&str]) {
    let text = result.err().expect("an error").to_string();
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in: {text}");
    }
}

#[test]
fn columns_far_from_zero_train_with_the_bits_of_those_near_it() {
    let (x, y) = near();
    let near = Dataset::new(narrow(&x), 1, narrow(&y), 2).unwrap();
    let (far_x, far_y) = far();
    let of_table = read(&table(&far()));
    let of_slices = Dataset::from_f64(&Rows64::new(&far_x, 1, &far_y, 2)).unwrap();
    let expected = Offsets::new(vec![X], vec![0.0, Y]).unwrap();
    for data in [&of_table, &of_slices] {
        assert_eq!(data.offsets(), &expected);
        assert_eq!((data.x(), data.y()), (near.x(), near.y()));
        assert_eq!(data.offsets().absolute_actions(data.y()).unwrap(), far_y);
        assert!(data.warnings().is_empty(), "{:?}", data.warnings());
        assert_ne!(data.fingerprint(), near.fingerprint());
    }
    assert!(read(&table(&(x, y))).offsets().are_zero());
    assert_eq!(of_table.fingerprint(), of_slices.fingerprint());
    let run = |data| trained(data, tiny(Draw::Replacement), Some(5));
    assert_eq!(run(&of_table), run(&near));
}

#[test]
fn a_policy_of_such_data_acts_in_64_bits() {
    let folder = tempfile::tempdir().unwrap();
    let [path, packed] = ["far", "packed"].map(|name| folder.path().join(name));
    let (x, y) = near();
    saved(&Dataset::new(narrow(&x), 1, narrow(&y), 2).unwrap(), tiny(Draw::Replacement), &packed);
    let mut near = Policy::load(gpu(), &packed).unwrap();
    saved(&read(&table(&far())), tiny(Draw::Replacement), &path);
    let mut policy = Policy::load(gpu(), &path).unwrap();

    let expected = Offsets::new(vec![X], vec![0.0, Y]).unwrap();
    assert_eq!(policy.offsets(), &expected);
    assert_eq!(RunDescription::read(&path).unwrap().data.offsets, expected);
    refused(policy.act(&[0.25]), &["`act_f64`", "-300000000 in column 0 of the contexts", "1700000000"]);
    let words = policy.describe();
    for part in ["relative to offsets", "1700000000 in column 1 of the actions", "box: [-1.", "17000000"] {
        assert!(words.contains(part), "`{part}` is missing in: {words}");
    }
    policy.save(&packed).unwrap();
    let mut again = Policy::load(gpu(), &packed).unwrap();
    assert_eq!(again.offsets(), &expected);
    for observation in [0.25, -0.5] {
        let wanted = near.act(&[observation as f32]).unwrap();
        assert_eq!(near.offsets(), &Offsets::zeros(1, 2));
        let found = policy.act_f64(&[X + observation]).unwrap();
        assert_eq!(again.act_f64(&[X + observation]).unwrap(), found);
        assert_eq!(found[0], f64::from(wanted[0]));
        // What 64 bits resolve at the offset.
        assert!((found[1] - Y - f64::from(wanted[1])).abs() < 3e-7, "{found:?} {wanted:?}");
    }
    let wanted = near.act(&[0.75]).unwrap();
    assert_eq!(near.act_f64(&[0.75]).unwrap().len(), wanted.len(), "any policy acts in 64 bits");

    let square = Bounds::new(&[-1.0, Y as f32 - 256.0], &[1.0, Y as f32 + 256.0]).unwrap();
    let absolute = PolicyOptions::new().with_bounds(square);
    refused(Policy::load_with(gpu(), &path, &absolute), &["the box", "dimension 1", "1700000000"]);
    let chains = |middle: f32| {
        let square = Bounds::new(&[-1.0, middle - 256.0], &[1.0, middle + 256.0]).unwrap();
        let langevin = Langevin::default().with_steps(2).with_bounds(Some(square));
        PolicyOptions::new().with_inference(ChainInference::new(langevin).with_chains(4))
    };
    assert!(Policy::load_with(gpu(), &path, &chains(0.0)).is_ok());
    let words = ["the box of the chains", "dimension 1", "1700000000"];
    refused(Policy::load_with(gpu(), &path, &chains(Y as f32)), &words);
    let resting = |value: f32| PolicyOptions::new().with_resting(vec![0.5, value]);
    assert!(Policy::load_with(gpu(), &path, &resting(0.5)).is_ok());
    let words = ["the resting action", "dimension 1", "outside the box", "1700000000"];
    refused(Policy::load_with(gpu(), &path, &resting(Y as f32)), &words);
    let other = PolicyOptions::new().with_offsets(Offsets::zeros(1, 2));
    refused(Policy::load_with(gpu(), &path, &other), &["the offsets", "leave them out"]);
}

#[test]
fn a_policy_without_observations_acts_in_64_bits_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let y: Vec<f64> = waves(1, 0.73).iter().map(|value| Y + value).collect();
    saved(&Dataset::from_f64(&Rows64::new(&[], 0, &y, 1)).unwrap(), tiny(Draw::Replacement), &path);
    let mut policy = Policy::load(gpu(), &path).unwrap();
    refused(policy.act_for(1), &["`act_for_f64`"]);
    let [action] = policy.act_for_f64(1).unwrap()[..] else { panic!("one number") };
    assert!((action - Y).abs() <= 1.2, "{action}");
}

#[test]
fn runs_go_on_with_the_same_offsets_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let (x, y) = far();
    let data = Dataset::from_f64(&Rows64::new(&x, 1, &y, 2)).unwrap();
    saved(&data, tiny(Draw::Replacement), &path);
    let before = tensors(&path);
    Trainer::resume(gpu(), &read(&table(&far())), &path).unwrap().save(&path).unwrap();
    assert_eq!(tensors(&path), before);
    let other = Offsets::new(vec![X], vec![0.0, Y + 16.0]).unwrap();
    let moved = Dataset::from_f64(&Rows64::new(&x, 1, &y, 2).with_offsets(&other)).unwrap();
    refused(Trainer::resume(gpu(), &moved, &path), &["other data", "1700000000", "1700000016"]);
    let (x, y) = near();
    let near = Dataset::new(narrow(&x), 1, narrow(&y), 2).unwrap();
    refused(Trainer::resume(gpu(), &near, &path), &["other data", "0 in every column"]);

    let [low, high] = [vec![-2.0, Y as f32 - 256.0], vec![2.0, Y as f32 + 256.0]];
    let uniform = RankingNceOptions::default().with_proposal(ProposalOptions::Uniform { low, high });
    let absolute = Trainer::new(gpu(), &data, TrainOptions::new(uniform));
    refused(absolute, &["the box", "row 0", "relative to the data's offsets", "1700000000"]);
}

#[test]
fn rows_that_are_never_drawn_decide_no_offset() {
    let (x, mut y) = far();
    let mut weights = vec![1.0; ROWS];
    for row in (0..ROWS).step_by(3) {
        (y[2 * row], y[2 * row + 1], weights[row]) = (-999.0, -999.0, 0.0);
    }
    let data = Dataset::from_f64(&Rows64::new(&x, 1, &y, 2).with_weights(&weights)).unwrap();
    assert_eq!(data.offsets(), &Offsets::new(vec![X], vec![0.0, Y]).unwrap());
    assert!(data.warnings().is_empty(), "{:?}", data.warnings());
    assert_eq!(data.weights(), Some(&weights[..]));
    let frame = data.description().frame();
    assert!(frame.iter().all(|[middle, half]| middle.abs() < 0.1 && (1.0..1.2).contains(half)), "{frame:?}");
    let wrong = Offsets::zeros(1, 1);
    let rows = Rows64::new(&x, 1, &y, 2).with_offsets(&wrong);
    refused(Dataset::from_f64(&rows), &["the offsets", "actions of 1 columns", "1 and 2"]);
    y[3] = 1e300;
    let rows = Rows64::new(&x, 1, &y, 2).with_weights(&weights);
    refused(Dataset::from_f64(&rows), &["y in row 1, column 1", "1e300", "inf", "32-bit"]);
}

#[test]
fn files_that_act_together_have_the_same_offsets() {
    let folder = tempfile::tempdir().unwrap();
    let [score, energy] = ["score", "energy"].map(|name| folder.path().join(name));
    let network = |outputs: usize| {
        let inputs = vec![Input::new(ACTION, 2), Input::new(TIME, 1)];
        Network::mlp(inputs, &[8], Activation::Silu, outputs)
    };
    let (_, y) = far();
    let data = Dataset::from_f64(&Rows64::new(&[], 0, &y, 2)).unwrap();
    saved(&data, TrainOptions::score(network(2)).with_batch(16), &score);
    let labeled = |offset: f64| {
        let offsets = Offsets::new(Vec::new(), vec![0.0, offset]).unwrap();
        let data = Dataset::from_f64(&Rows64::new(&[], 0, &y, 2).with_offsets(&offsets)).unwrap();
        data.with_energies(vec![0.5; ROWS]).unwrap()
    };
    let options = TrainOptions::intermediate_energy(network(1), 1.0).with_batch(16);
    saved(&labeled(Y), options.clone(), &energy);
    let policy = Policy::guided(gpu(), &score, &energy).unwrap();
    assert_eq!(policy.offsets().action(), [0.0, Y]);
    saved(&labeled(Y + 10.0), options, &energy);
    refused(
        Policy::guided(gpu(), &score, &energy),
        &["other offsets", "1700000010", "`Rows64::with_offsets`"],
    );
}

#[test]
fn a_history_has_one_offset_per_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let twice: Vec<f64> =
        waves(2, 0.37).iter().enumerate().map(|(at, v)| X + v + 5e8 * (at % 2) as f64).collect();
    let (_, y) = near();
    let network = || {
        let inputs = vec![Input::new(ACTION, 2), Input::new(TIME, 1), Input::new(CONTEXT, 2)];
        Network::mlp(inputs, &[8], Activation::Silu, 2)
    };
    let options = || TrainOptions::score(network()).with_batch(16);
    saved(&Dataset::from_f64(&Rows64::new(&twice, 2, &y, 2)).unwrap(), options(), &path);
    let history = PolicyOptions::new().with_history(2);
    refused(Policy::load_with(gpu(), &path, &history), &["history differ", "`Rows64::with_offsets`"]);
    // Columns that one offset serves have one.
    let alike: Vec<f64> =
        waves(2, 0.37).iter().enumerate().map(|(at, v)| X + v + 50.0 * (at % 2) as f64).collect();
    let data = Dataset::from_f64(&Rows64::new(&alike, 2, &y, 2)).unwrap();
    assert!(data.warnings().is_empty(), "{:?}", data.warnings());
    saved(&data, options(), &path);
    let policy = Policy::load_with(gpu(), &path, &history).unwrap();
    assert_eq!(policy.offsets().context(), [X]);
    for given in [vec![X], vec![X; 2]] {
        let same = history.clone().with_offsets(Offsets::new(given, vec![0.0; 2]).unwrap());
        assert_eq!(Policy::load_with(gpu(), &path, &same).unwrap().offsets().context(), [X]);
    }
    let other = history.with_offsets(Offsets::new(vec![X + 64.0], vec![0.0; 2]).unwrap());
    refused(Policy::load_with(gpu(), &path, &other), &["the offsets", "leave them out"]);
}
