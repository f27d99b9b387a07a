//! A policy in words.

use std::fmt::Write;

use super::acting::Policy;
use super::inference::{ChainInference, Choose, DiffusionInference, Inference};
use crate::mcmc::Dynamics;

impl Policy {
    /// What it is, in words: kind, networks and weights, how it comes to its actions, box, widths,
    /// history and chunk, capacity, and where it came from.
    pub fn describe(&self) -> String {
        let description = self.description();
        let mut text = String::new();
        let _ = writeln!(text, "policy: {}", self.parts().words());
        for model in self.parts().models() {
            let network = model.network();
            let inputs: Vec<String> =
                network.inputs.iter().map(|input| format!("{} {}", input.name, input.width)).collect();
            let _ = writeln!(
                text,
                "  network `{}`: {} -> {}, {} parameters",
                model.name(),
                inputs.join(" + "),
                network.outputs(),
                network.parameter_count()
            );
        }
        let _ = writeln!(text, "  weights: {}", description.weights);
        let _ = writeln!(text, "  acts by {}", inference_words(&description.inference));
        match &description.bounds {
            Some(bounds) => {
                let [low, high] = [bounds.low(), bounds.high()].map(|border| self.absolute(border));
                let _ = writeln!(text, "  box: {low} to {high}");
            }
            None => text.push_str("  box: none\n"),
        }
        let chunk = description.chunk;
        let _ = writeln!(
            text,
            "  observations of {} numbers, history of {}; actions of {} numbers, {} predicted, {} executed",
            self.observation_width(),
            description.history,
            self.action_width(),
            chunk.predict,
            chunk.execute
        );
        let _ = writeln!(text, "  resting action: {}", self.absolute(&description.resting));
        if !description.offsets.are_zero() {
            let _ = writeln!(
                text,
                "  32-bit numbers, as on the device, are relative to offsets: {}",
                description.offsets.words()
            );
        }
        let _ = writeln!(text, "  room for {} agents; seed {}", self.capacity(), description.seed);
        let _ = writeln!(text, "  from {}", description.origin);
        text
    }

    /// Numbers of one action or of a chunk of them, absolute, in as many digits as they have.
    fn absolute(&self, relative: &[f32]) -> String {
        let offsets = self.offsets();
        match offsets.are_zero() {
            true => format!("{relative:?}"),
            false => match offsets.absolute_actions(relative) {
                Ok(absolute) => format!("{absolute:?}"),
                Err(_) => format!("{relative:?}"),
            },
        }
    }
}

fn inference_words(inference: &Inference) -> String {
    match inference {
        Inference::Chains(ChainInference { chains, dynamics, choose }) => {
            let (name, steps, sizes) = match dynamics {
                Dynamics::Langevin(langevin) => ("Langevin", "steps", Some(langevin.step_sizes)),
                Dynamics::Mala(mala) => ("Metropolis-adjusted Langevin", "steps", Some(mala.step_sizes)),
                Dynamics::Hamiltonian(hmc) => ("Hamiltonian", "trajectories", Some(hmc.step_sizes)),
                Dynamics::DerivativeFreeOptimizer(_) => ("derivative-free", "rounds", None),
            };
            let scaled = if dynamics.scales().is_some() { " by scale" } else { "" };
            let sizes = sizes.map_or(String::new(), |sizes| format!(" of sizes {sizes}{scaled}"));
            let taken = match choose {
                Choose::Lowest => "the end of lowest energy",
                Choose::First => "the end of the first",
            };
            format!(
                "{chains} chains of {} {name} {steps}{sizes} from the proposal, {taken}",
                dynamics.steps()
            )
        }
        Inference::Diffusion(DiffusionInference { solver, guidance_scale, samples, choose }) => {
            let taken = match choose {
                Choose::Lowest => "that of lowest energy",
                Choose::First => "the first",
            };
            format!(
                "{samples} {} by {:?} with {} evaluations{}, guidance scale {guidance_scale}, {taken}",
                if *samples == 1 { "sample" } else { "samples" },
                solver.solver,
                solver.evaluations,
                if solver.lowers_last_steps() { ", the last of lower order" } else { "" }
            )
        }
        Inference::Proposal => "a draw of the proposal".into(),
        Inference::Network => "the network's output".into(),
    }
}
