//! A network with its parameters on a device.

use super::initialize;
use crate::gpu::{Bindings, DType, Gpu, Recording, RunState, Tensor, Value};
use crate::nn::{Network, ParameterLayout};
use crate::{Error, Result};

/// A network, the layout of its parameters, and the parameters as one flat tensor.
#[derive(Clone, Debug)]
pub struct Model {
    name: String,
    network: Network,
    layout: ParameterLayout,
    parameters: Tensor,
}

impl Model {
    /// A model whose parameters are drawn on the device from the stream `initialise/<name>` of the
    /// run.
    ///
    /// # Errors
    /// [`Error::Argument`] for a bad description, [`Error::OutOfMemory`], [`Error::Limit`].
    pub fn new(gpu: &Gpu, name: &str, network: Network, run: &RunState) -> Result<Self> {
        let model = Self::zeros(gpu, name, network)?;
        let mut recording = gpu.record(format!("{name}/initialize"));
        recording.provide_all(&run.bindings());
        let parameters = model.value(&mut recording)?;
        initialize::record(&mut recording, &model.layout, parameters, &format!("initialise/{name}"))?;
        recording.compile_bound(gpu)?.run(1)?;
        Ok(model)
    }

    /// As [`Model::new`] in a run that begins with this seed: the same bits as from
    /// `RunState::new(gpu, seed)`.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn from_seed(gpu: &Gpu, name: &str, network: Network, seed: u64) -> Result<Self> {
        Self::new(gpu, name, network, &RunState::new(gpu, seed)?)
    }

    /// A model whose parameters are all zero.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn zeros(gpu: &Gpu, name: &str, network: Network) -> Result<Self> {
        network.check()?;
        let layout = network.layout();
        let label = format!("{name}/parameters");
        let parameters = Tensor::zeros(gpu, &label, DType::F32, [layout.len])?;
        Ok(Self { name: name.into(), network, layout, parameters })
    }

    /// Its name, the first part of its slots' names.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// Its description.
    pub fn network(&self) -> &Network {
        &self.network
    }
    /// Where each parameter lies.
    pub fn layout(&self) -> &ParameterLayout {
        &self.layout
    }
    /// The flat parameters.
    pub fn parameters(&self) -> &Tensor {
        &self.parameters
    }

    /// Overwrites the parameters from the host: a flat list in the network's layout, as
    /// [`ParameterLayout::insert`] fills it or [`super::pytorch::read`] returns it; padding is
    /// zero.
    ///
    /// # Errors
    /// [`Error::Shape`] if the length is not that of the layout; [`Error::Argument`] for a value
    /// that is not finite, or that is not zero where the layout pads; [`Error::DeviceLost`].
    pub fn set_parameters(&self, gpu: &Gpu, flat: &[f32]) -> Result<()> {
        let operation = format!("parameters of `{}`", self.name);
        self.layout.check_flat(&operation, flat)?;
        let mut padding = flat.to_vec();
        for slice in &self.layout.slices {
            self.layout.insert(slice, &vec![0.0; slice.rows * slice.columns], &mut padding);
        }
        if let Some(at) = padding.iter().position(|&value| value != 0.0) {
            let problem = format!("hold {} at element {at}, which is padding and must be 0", padding[at]);
            return Err(Error::argument(operation, "the parameters", problem));
        }
        self.parameters.write(gpu, flat)
    }

    /// Name of the slot that holds the parameters.
    pub fn slot(&self) -> String {
        format!("{}/parameters", self.name)
    }

    /// The parameters as a value of a recording, which remembers them
    /// ([`Recording::compile_bound`]).
    ///
    /// # Errors
    /// [`Error::Shape`] if something else took the slot's name.
    pub fn value(&self, recording: &mut Recording) -> Result<Value> {
        let value = recording.slot(&self.slot(), DType::F32, [self.layout.len])?;
        if self.parameters.buffer().usage().contains(wgpu::BufferUsages::UNIFORM) {
            recording.allow_uniform(value)?;
        }
        recording.provide(&self.slot(), &self.parameters);
        Ok(value)
    }

    /// The binding of the parameters.
    pub fn bindings(&self) -> Bindings {
        Bindings::new().with(&self.slot(), &self.parameters)
    }

    /// The same network and parameters under another name. Models that meet in one recording need
    /// names of their own.
    pub fn renamed(self, name: &str) -> Self {
        Self { name: name.into(), ..self }
    }

    /// The same network with other parameters, for example an average of them.
    ///
    /// # Errors
    /// [`Error::Shape`] if the tensor does not fit.
    pub fn with_parameters(&self, parameters: &Tensor) -> Result<Self> {
        if parameters.shape() != self.parameters.shape() {
            return Err(Error::shape(
                format!("parameters of `{}`", self.name),
                parameters.label(),
                parameters.shape(),
                self.parameters.shape(),
                "give a flat tensor in the network's layout",
            ));
        }
        Ok(Self { parameters: parameters.clone(), ..self.clone() })
    }
}
