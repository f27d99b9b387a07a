//! Names of choices: on command lines as in files.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use gibbs::diffusion::{FlowMethod, Prediction, Solver, TimeGrid};
use gibbs::loss::{Labels, RankingObjective};
use gibbs::nn::{Activation, Fusion, LayerNorm, Norms};
use gibbs::ode::Probe;
use serde::Serialize;

fn check<T>(all: &[T])
where
    T: Copy + Debug + Display + FromStr<Err = gibbs::Error> + PartialEq + Serialize,
{
    assert!(all.len() > 1);
    for (index, choice) in all.iter().enumerate() {
        assert!(!all[..index].contains(choice), "{choice} twice");
        let name = choice.to_string();
        assert_eq!(serde_json::to_string(choice).unwrap(), format!("\"{name}\""));
        assert_eq!(name.parse::<T>().unwrap(), *choice);
    }
    let error = "no such name".parse::<T>().unwrap_err().to_string();
    assert!(error.contains("`no such name`"), "{error}");
    for choice in all {
        assert!(error.contains(&choice.to_string()), "{error}");
    }
    assert!(format!("{:>40}|", all[0]).ends_with(&format!(" {}|", all[0])));
}

#[test]
fn names_of_choices_are_those_of_files_and_are_listed_in_errors() {
    check(Activation::ALL);
    check(FlowMethod::ALL);
    check(Fusion::ALL);
    check(RankingObjective::ALL);
    check(Prediction::ALL);
    check(Probe::ALL);
    check(Solver::ALL);
    check(TimeGrid::ALL);
}

#[test]
fn choices_with_a_number_come_back_from_their_words() {
    for labels in [Labels::Normalized, Labels::Unnormalized { reference: -1.5 }] {
        assert_eq!(labels.to_string().parse::<Labels>().unwrap(), labels);
        assert!(Labels::KINDS.contains(&labels.kind()));
    }
    assert_eq!(Labels::Unnormalized { reference: -1.5 }.to_string(), "unnormalized:-1.5");
    for bad in ["unnormalized", "unnormalized:x", ""] {
        let error = bad.parse::<Labels>().unwrap_err().to_string();
        assert!(error.contains("unnormalized:REFERENCE"), "{error}");
    }
    for norms in [Norms::None, Norms::BeforeActivations(LayerNorm { epsilon: 3e-6 })] {
        assert_eq!(norms.to_string().parse::<Norms>().unwrap(), norms);
        assert!(Norms::KINDS.contains(&norms.kind()));
    }
    let default = Norms::BeforeActivations(LayerNorm::default());
    assert_eq!("before_activations".parse::<Norms>().unwrap(), default);
    assert!("before".parse::<Norms>().unwrap_err().to_string().contains("before_activations:EPSILON"));
}
