use super::*;
use crate::train::{ProposalOptions, RankingNceOptions, TrainOptions};

#[test]
fn a_constant_column_of_weighted_rows_keeps_its_scale() {
    let weights: Vec<f32> = (0..50).map(|row| 0.1 + 0.37 * (row as f32).sin().abs()).collect();
    for value in [0.3f32, 1.985, -7.7, 1e6] {
        let mut y: Vec<f32> = (0..50).flat_map(|row| [value, row as f32]).collect();
        y[6] = 9.0;
        let mut weights = weights.clone();
        weights[3] = 0.0;
        let data = Dataset::unconditional(y, 2).unwrap().with_weights(weights).unwrap();
        let normalizer = data.fit_y(Normalize::Standard { deviation: 1.0 });
        assert_eq!((normalizer.shift[0], normalizer.scale[0]), (value, 1.0), "row 3 is never drawn");
        assert!(normalizer.scale[1] < 0.1);
    }
}

#[test]
fn normalizers_have_the_asked_deviation() {
    let y = vec![1.0, 5.0, 3.0, 5.0, 5.0, 5.0];
    let data = Dataset::new(vec![0.0; 3], 1, y, 2).unwrap();
    let normalizer = data.fit_y(Normalize::Standard { deviation: 2.0 });
    assert_eq!(normalizer.shift, [3.0, 5.0]);
    assert!((normalizer.scale[0] - 2.0 / (8.0f32 / 3.0).sqrt()).abs() < 1e-6);
    assert_eq!(normalizer.scale[1], 1.0);
}

#[test]
fn bad_data_is_named() {
    let error = Dataset::new(vec![0.0; 2], 1, vec![0.0, 1.0, 2.0, f32::NAN], 2).unwrap_err();
    assert!(error.to_string().contains("row 1, column 1"), "{error}");
    assert!(Dataset::new(vec![0.0; 2], 1, vec![0.0; 6], 2).is_err());
    assert!(Dataset::new(Vec::new(), 1, Vec::new(), 2).is_err());
    assert!(Dataset::new(vec![1.0], 0, vec![1.0], 1).is_err());
}

#[test]
fn unconditional_data_have_no_context() {
    let data = Dataset::unconditional(vec![1.0, 2.0, 3.0, 4.0], 2).unwrap();
    assert_eq!((data.rows(), data.x_width(), data.x().len()), (2, 0, 0));
    assert!(data.is_unconditional());
    assert_eq!(data.fit_x(Normalize::Standard { deviation: 3.0 }), Normalizer::identity(0));
    assert!(Dataset::unconditional(vec![1.0; 3], 2).is_err());
    assert!(Dataset::unconditional(vec![1.0; 3], 0).is_err());
    assert!(Dataset::unconditional(Vec::new(), 2).is_err());
    assert!(!Dataset::new(vec![0.0, 0.0], 1, vec![1.0; 2], 1).unwrap().is_unconditional());
}

#[test]
fn groups_and_energies_are_counted() {
    // Two rows of three actions of two numbers.
    let y: Vec<f32> = (0..12).map(|at| at as f32).collect();
    let data = Dataset::grouped(vec![7.0, 8.0], 1, y.clone(), 2, 3).unwrap();
    assert_eq!((data.rows(), data.samples(), data.support(), data.y_width()), (2, 6, 3, 2));
    let error = data.clone().with_energies(vec![0.0; 2]).unwrap_err().to_string();
    assert!(error.contains("[6]"), "{error}");
    let error = data.clone().with_energies(vec![0.0, f32::NAN, 0.0, 0.0, 0.0, 0.0]).unwrap_err().to_string();
    assert!(error.contains("sample 1"), "{error}");
    let labeled = data.clone().with_energies(vec![0.5; 6]).unwrap();
    assert_eq!(labeled.energies(), Some(&[0.5f32; 6][..]));
    assert_ne!(data.fingerprint(), labeled.fingerprint());
    for (x, support) in
        [(vec![7.0], 3), (vec![7.0, 8.0], 4), (vec![7.0, 8.0], 0), (vec![7.0, 8.0], usize::MAX)]
    {
        assert!(Dataset::grouped(x, 1, y.clone(), 2, support).is_err());
    }
    // The mean over all actions of a column, rows by their weights.
    let normalizer = data.with_weights(vec![1.0, 0.0]).unwrap().fit_y(Normalize::Standard { deviation: 1.0 });
    assert_eq!(normalizer.shift, [2.0, 3.0]);
}

#[test]
fn a_description_has_the_range_of_what_can_be_drawn() {
    let y = vec![1.0, -5.0, 3.0, 2.0, 100.0, 100.0];
    let data = Dataset::unconditional(y, 2).unwrap().with_weights(vec![1.0, 2.0, 0.0]).unwrap();
    let description = data.description();
    assert_eq!((description.low, description.high), (vec![1.0, -5.0], vec![3.0, 2.0]));
    assert_eq!((description.rows, description.context_width, description.action_width), (3, 0, 2));
    assert!(!description.labeled && description.fingerprint.len() == 16);
}

#[test]
fn weights_are_checked_and_count() {
    let data = || Dataset::unconditional(vec![1.0, 2.0, 4.0], 1).unwrap();
    let refused = |weights: Vec<f32>| data().with_weights(weights).unwrap_err().to_string();
    assert!(refused(vec![1.0; 2]).contains("[2]"));
    assert!(refused(vec![1.0, 2.0, -1.0]).contains("-1 in row 2"));
    assert!(refused(vec![1.0, f32::NAN, 1.0]).contains("row 1"));
    assert!(refused(vec![0.0; 3]).contains("every row"));
    let weighted = data().with_weights(vec![1.0, 0.0, 3.0]).unwrap();
    let other = data().with_weights(vec![1.0, 0.0, 2.0]).unwrap();
    let prints = [data().fingerprint(), weighted.fingerprint(), other.fingerprint()];
    assert!(prints[0] != prints[1] && prints[1] != prints[2] && prints[0] != prints[2]);
    // Like the rows 1, 4, 4, 4.
    let normalizer = weighted.fit_y(Normalize::Standard { deviation: 1.0 });
    assert_eq!(normalizer.shift, [3.25]);
    assert!((normalizer.scale[0] - 1.0 / 1.6875f32.sqrt()).abs() < 1e-6);
}

/// Rows near 1 and -1, and between them a fifth of fill values of weight 0.
fn filled(fill: f32) -> (Dataset, Dataset) {
    let (mut x, mut y, mut weights, mut kept) =
        (Vec::new(), Vec::new(), Vec::new(), (Vec::new(), Vec::new()));
    for row in 0..2500 {
        let lies_fallow = row % 5 == 2;
        let value = if row % 2 == 0 { 1.0 } else { -1.0 } + 0.1 * (row as f32).sin();
        let (context, action) = if lies_fallow { (fill, fill) } else { (0.3 * value, value) };
        x.push(context);
        y.extend([action, 5.0 - 2.0 * action]);
        weights.push(if lies_fallow { 0.0 } else { 1.0 });
        if !lies_fallow {
            kept.0.push(context);
            kept.1.extend([action, 5.0 - 2.0 * action]);
        }
    }
    let all = Dataset::new(x, 1, y, 2).unwrap().with_weights(weights).unwrap();
    (all, Dataset::new(kept.0, 1, kept.1, 2).unwrap())
}

#[test]
fn fill_values_of_rows_without_weight_reach_no_statistic() {
    let (data, kept) = filled(-999.0);
    let how = Normalize::Standard { deviation: 1.0 };
    assert_eq!((data.fit_x(how), data.fit_y(how)), (kept.fit_x(how), kept.fit_y(how)));
    assert_eq!(data.y_variances(), kept.y_variances());
    assert!((data.y_variances()[1] / 4.02 - 1.0).abs() < 0.01, "{:?}", data.y_variances());
    let (found, wanted) = (data.description(), kept.description());
    assert_eq!((&found.low, &found.high), (&wanted.low, &wanted.high));
    assert_eq!(found.frame(), wanted.frame());
    assert!(found.low[0] > -1.2 && found.high[1] < 7.3, "{found:?}");
    assert_eq!(data.warnings(), [""; 0]);
    let rows: Vec<usize> = (0..2500).filter(|row| row % 5 != 2).collect();
    assert!(data.drawn_rows().eq(rows) && kept.drawn_rows().eq(0..2000));
}

#[test]
fn a_box_of_negatives_needs_to_hold_only_what_is_drawn() {
    let (data, _) = filled(-999.0);
    let within = |half: f32| {
        let proposal = ProposalOptions::Uniform { low: vec![-half, 5.0 - 2.0 * half], high: vec![half, 8.0] };
        TrainOptions::new(RankingNceOptions::default().with_proposal(proposal)).check(&data)
    };
    within(1.2).unwrap();
    let error = within(1.05).unwrap_err().to_string();
    let row = data.drawn_rows().find(|row| data.y()[2 * row].abs() > 1.05).unwrap();
    assert!(error.contains(&format!("row {row} ")), "{error}");
}

#[test]
fn what_stands_in_rows_without_weight_makes_no_other_data_set() {
    let prints = [-999.0, 0.0].map(|fill| filled(fill).0.fingerprint());
    assert_eq!(prints[0], prints[1]);
    // With energies in groups too; other rows and the weights themselves count.
    let grouped = |values: [f32; 2], energies: [f32; 2], weights: [f32; 2]| {
        let [a, b] = values;
        let data = Dataset::grouped(vec![1.0, b], 1, vec![1.0, a, b, b], 1, 2).unwrap();
        let [c, d] = energies;
        data.with_energies(vec![c, 0.0, d, d]).unwrap().with_weights(weights.into()).unwrap()
    };
    let print = |values, energies, weights| grouped(values, energies, weights).fingerprint();
    let usual = print([3.0, 4.0], [5.0, 6.0], [1.0, 0.0]);
    assert_eq!(usual, print([3.0, 9.0], [5.0, 9.0], [1.0, 0.0]));
    for other in [
        print([9.0, 4.0], [5.0, 6.0], [1.0, 0.0]),
        print([3.0, 4.0], [9.0, 6.0], [1.0, 0.0]),
        print([3.0, 4.0], [5.0, 6.0], [2.0, 0.0]),
        print([3.0, 4.0], [5.0, 6.0], [1.0, 0.5]),
    ] {
        assert_ne!(usual, other);
    }
    // Files of earlier versions took in all.
    let data = grouped([3.0, 4.0], [5.0, 6.0], [1.0, 0.0]);
    let words = [1u32, 1, 2, 4, 2].into_iter();
    let values = [1.0f32, 4.0, 1.0, 3.0, 4.0, 4.0, 5.0, 0.0, 6.0, 6.0, 1.0, 0.0].map(f32::to_bits);
    let whole = words.chain(values).fold(0xcbf2_9ce4_8422_2325u64, |hash, word| {
        (hash ^ u64::from(word)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    assert_ne!(whole, usual);
    for (known, is) in [(whole, true), (usual, true), (usual ^ 1, false)] {
        assert_eq!(data.has_fingerprint(&format!("{known:016x}")), is);
    }
}

#[test]
fn variances_are_those_of_the_rows_as_they_are_drawn() {
    let y = vec![1.0, 0.3, 2.0, 0.3, 4.0, 0.3, 100.0, 9.0];
    let data = Dataset::unconditional(y, 2).unwrap();
    // Like the rows 1, 4, 4, 4 and 0.3 throughout, whose mean is not exact.
    let data = data.with_weights(vec![0.1, 0.0, 0.3, 0.0]).unwrap();
    let found = data.y_variances();
    assert!((found[0] - 1.6875).abs() < 1e-6 && found[1] == 0.0, "{found:?}");
}

#[test]
fn boxes_have_the_scale_of_the_data() {
    let frame =
        |low: f32, high: f32| Dataset::unconditional(vec![low, high], 1).unwrap().description().frame()[0];
    for (low, high, middle, half) in [
        (-1.0, 3.0, 1.0, 2.2),
        (-1e-9, 1e-9, 0.0, 1.1e-9),
        (-1e-30, 3e-30, 1e-30, 2.2e-30),
        (5.0, 5.0, 5.0, 5e-3),
        (-1e-9, -1e-9, -1e-9, 1e-12),
        (0.0, 0.0, 0.0, 1e-6),
        (1e-45, 1e-45, 1e-45, f64::from(f32::MIN_POSITIVE)),
        (1e6, 1_000_000.1, 1_000_000.05, 1.0),
    ] {
        let [found_middle, found_half] = frame(low, high);
        let near = |found: f64, wanted: f64| (found - wanted).abs() <= 1e-6 * wanted.abs() + 1e-45;
        assert!(
            near(found_middle, middle) && near(found_half, half),
            "{low} {high}: {found_middle} {found_half}"
        );
        Dataset::unconditional(vec![low, high], 1).unwrap().description().bounds().unwrap();
    }
}

#[test]
fn warnings_name_an_outlier_that_can_be_drawn() {
    let y: Vec<f32> = (0..600).map(|row| if row == 251 { 1e30 } else { (row as f32).sin() }).collect();
    let data = Dataset::grouped(Vec::new(), 0, y, 1, 2).unwrap();
    let found = data.warnings();
    assert!(found.len() == 1 && found[0].contains("1e30 in row 125"), "{found:?}");
    let mut weights = vec![1.0; 300];
    weights[125] = 0.0;
    assert_eq!(data.with_weights(weights).unwrap().warnings(), [""; 0]);
}
