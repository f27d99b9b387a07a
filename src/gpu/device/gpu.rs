//! The context: a device, its queue, what it can do and what was done with it.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::adapter::{self, describe};
use super::capabilities::Capabilities;
use super::counters::{AtomicCounters, Counters};
use super::environment::{self, Switches, Unreadable};
use super::fault::{Fault, FaultRecord, Injected};
use super::home::Home;
use super::mark::Mark;
use super::optional::OptionalPath;
use super::options::{AdoptOptions, GpuOptions};
use super::pipeline::{Pipeline, PipelineKey};
use super::pipeline_cache::PipelineCache;
use super::tuning::{Tuner, Tuning, TuningFile};
use crate::{Error, Result};

/// A device to run on. A cheap clone: all clones share the device, its pipelines and its counters.
#[derive(Clone)]
pub struct Gpu(Arc<Inner>, Arc<Tuner>);

impl fmt::Debug for Gpu {
    /// The adapter alone: pipelines would come with the texts of their kernels.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gpu").field(&self.0.info.name).field(&self.0.info.backend).finish()
    }
}

/// Who made a device, and may install handlers on it.
enum Owner {
    Ours(FaultRecord, Option<PipelineCache>),
    /// With the environment variable that could not be read, if one could not: everything that is
    /// asked of the device then fails with it.
    Host(Option<Unreadable>),
}

struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    capabilities: Capabilities,
    poison: bool,
    timeout: Duration,
    home: Home,
    faults: FaultRecord,
    unreadable: Option<Unreadable>,
    injected: Injected,
    mark: OnceLock<Mark>,
    counters: AtomicCounters,
    pipelines: Mutex<HashMap<PipelineKey, Arc<Pipeline>>>,
    pipeline_cache: Option<PipelineCache>,
}

impl Gpu {
    /// What every tensor of ours can be used for.
    pub(crate) const TENSOR_USAGES: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE
        .union(wgpu::BufferUsages::UNIFORM)
        .union(wgpu::BufferUsages::COPY_SRC)
        .union(wgpu::BufferUsages::COPY_DST);

    /// Every adapter present, best first.
    pub fn adapters(backends: Option<wgpu::Backends>) -> Vec<wgpu::Adapter> {
        pollster::block_on(adapter::adapters(backends))
    }

    /// As [`Gpu::adapters`], for an executor.
    pub async fn adapters_async(backends: Option<wgpu::Backends>) -> Vec<wgpu::Adapter> {
        adapter::adapters(backends).await
    }

    /// Opens an adapter.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] with the list of those present; [`Error::Open`] if the driver refuses;
    /// [`Error::Argument`] for an environment variable of ours, or `WGPU_BACKEND`, with its value,
    /// if it says nothing we know.
    pub fn open(options: &GpuOptions) -> Result<Self> {
        pollster::block_on(Self::open_async(options))
    }

    /// As [`Gpu::open`], for an executor. Nobody need poll a device for it: drivers answer on the
    /// spot, in browsers the event loop does.
    ///
    /// # Errors
    /// As [`Gpu::open`].
    pub async fn open_async(options: &GpuOptions) -> Result<Self> {
        let adapter = Self::choose_async(options).await?;
        Self::open_adapter_async(&adapter, options).await
    }

    /// The adapter that [`Gpu::open`] takes.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] with the list of those present; [`Error::Argument`] if `WGPU_BACKEND`
    /// names a backend that there is not.
    pub fn choose(options: &GpuOptions) -> Result<wgpu::Adapter> {
        pollster::block_on(Self::choose_async(options))
    }

    /// As [`Gpu::choose`], for an executor.
    ///
    /// # Errors
    /// As [`Gpu::choose`].
    pub async fn choose_async(options: &GpuOptions) -> Result<wgpu::Adapter> {
        adapter::choose(options).await
    }

    /// Opens a given adapter.
    ///
    /// # Errors
    /// [`Error::Open`] if the driver refuses; [`Error::Argument`] for an environment variable of
    /// ours that says nothing we know.
    pub fn open_adapter(adapter: &wgpu::Adapter, options: &GpuOptions) -> Result<Self> {
        pollster::block_on(Self::open_adapter_async(adapter, options))
    }

    /// As [`Gpu::open_adapter`], for an executor.
    ///
    /// # Errors
    /// As [`Gpu::open_adapter`].
    pub async fn open_adapter_async(adapter: &wgpu::Adapter, options: &GpuOptions) -> Result<Self> {
        let fault = match options.fault {
            Some(fault) => Some(fault),
            None => environment::fault()?,
        };
        let switches = Switches::read()?;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("gibbs"),
            required_features: adapter.features() & Capabilities::wanted(options.without, switches),
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (device, queue) = adapter
            .request_device(&descriptor)
            .await
            .map_err(|cause| Error::Open { adapter: adapter.get_info().name, cause: cause.to_string() })?;
        let faults = FaultRecord::default();
        let record = faults.clone();
        device.set_device_lost_callback(move |reason, message| {
            let told = if message.is_empty() { "the driver says no more" } else { message.as_str() };
            record.report_lost(format!("{reason:?}: {told}"));
        });
        let record = faults.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            log::error!("{error}");
            record.report_uncaptured(error.to_string());
        }));
        log::info!("opened {}", describe(&adapter.get_info()));
        let offered = adapter.features();
        let capabilities = Capabilities::of(&device, offered, options.without, options.checked, switches);
        let named = std::env::var_os("GIBBS_PIPELINE_CACHE").filter(|folder| !folder.is_empty());
        let folder = options.pipeline_cache.clone().or(named.map(PathBuf::from));
        let cache = match folder.filter(|_| capabilities.on().contains(OptionalPath::PipelineCache)) {
            Some(folder) => PipelineCache::open(&device, &adapter.get_info(), &folder)?,
            None => None,
        };
        let own = Owner::Ours(faults, cache);
        let gpu = Self::assemble(device, queue, own, capabilities, options.poison, options.timeout);
        if let Some(fault) = fault {
            gpu.inject(fault);
        }
        Ok(gpu)
    }

    /// Works on a device that a host program owns. Asks nothing more of the device than it was
    /// created with and installs no handler on it; forward a loss through [`Gpu::faults`].
    ///
    /// Limits that are too small for some kernels are logged at once, all together with what still
    /// works ([`Capabilities::limits_too_small`]); what needs more fails with the same words. An
    /// environment switch that cannot be read makes everything that is asked of the device fail
    /// with an [`Error::Argument`] that names it.
    pub fn adopt(device: &wgpu::Device, queue: &wgpu::Queue, options: AdoptOptions) -> Self {
        let (switches, unreadable) = match Switches::read() {
            Ok(switches) => (switches, None),
            Err(unreadable) => (Switches::default(), Some(unreadable)),
        };
        let (offered, without) = (device.features(), options.without);
        let capabilities = Capabilities::of(device, offered, without, options.checked, switches);
        Self::assemble(
            device.clone(),
            queue.clone(),
            Owner::Host(unreadable),
            capabilities,
            options.poison,
            options.timeout,
        )
    }

    fn assemble(
        device: wgpu::Device,
        queue: wgpu::Queue,
        owner: Owner,
        capabilities: Capabilities,
        poison: Option<bool>,
        timeout: Option<Duration>,
    ) -> Self {
        let (own, faults, pipeline_cache, unreadable) = match owner {
            Owner::Ours(faults, cache) => (true, faults, cache, None),
            Owner::Host(unreadable) => (false, FaultRecord::default(), None, unreadable),
        };
        static OPENED: AtomicU64 = AtomicU64::new(0);
        let home = Home { number: OPENED.fetch_add(1, Ordering::Relaxed), own, device: device.clone() };
        let info = device.adapter_info();
        if let Some(words) = capabilities.limits_too_small() {
            log::warn!("`{}`: {words}", info.name);
        }
        let tuner = Arc::new(Tuner::table(&info));
        let inner = Inner {
            info,
            capabilities,
            poison: poison.unwrap_or(cfg!(debug_assertions)),
            timeout: timeout.unwrap_or(Duration::from_secs(60)),
            home,
            faults,
            unreadable,
            injected: Injected::default(),
            mark: OnceLock::new(),
            counters: AtomicCounters::default(),
            pipelines: Mutex::default(),
            pipeline_cache,
            device,
            queue,
        };
        Self(Arc::new(inner), tuner)
    }

    /// The same device with another way to choose kernel variants; what was made with either works
    /// with both. The tuning is the table's until this says otherwise.
    ///
    /// # Errors
    /// [`Error::Tuning`] for the choices of another adapter; [`Error::Tuning`] or [`Error::Io`] for
    /// a file that is there and cannot be read.
    pub fn with_tuning(&self, tuning: Tuning) -> Result<Self> {
        Ok(Self(self.0.clone(), Arc::new(Tuner::new(tuning, &self.0.info)?)))
    }

    /// What was measured or restored so far.
    pub fn tuning_file(&self) -> TuningFile {
        self.1.file()
    }

    /// How variants are chosen, in a word: `table`, `measured` or `restored`.
    pub fn tuning_name(&self) -> &'static str {
        self.1.name()
    }

    pub(crate) fn tuner(&self) -> &Tuner {
        &self.1
    }

    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        &self.0.device
    }
    /// The queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.0.queue
    }
    /// Name, driver and backend of the adapter.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.0.info
    }
    /// One line naming the adapter, its driver and backend.
    pub fn adapter_name(&self) -> String {
        describe(&self.0.info)
    }
    /// What the device can do, and which optional paths are on.
    pub fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }
    /// The record of first causes; hosts of adopted devices report a loss here.
    pub fn faults(&self) -> &FaultRecord {
        &self.0.faults
    }
    /// Causes a fault on purpose: for tests of what follows a lost device. Counts from now on; a
    /// later fault of the same kind replaces an earlier one.
    pub fn inject(&self, fault: Fault) {
        self.0.injected.set(fault);
    }
    pub(crate) fn injected(&self) -> &Injected {
        &self.0.injected
    }
    /// What the host has done so far.
    pub fn counters(&self) -> Counters {
        self.0.counters.snapshot()
    }
    pub(crate) fn counting(&self) -> &AtomicCounters {
        &self.0.counters
    }
    pub(crate) fn poisons(&self) -> bool {
        self.0.poison
    }
    /// Longest wait for the device before [`Error::Timeout`].
    pub fn timeout(&self) -> Duration {
        self.0.timeout
    }

    pub(crate) fn cached_pipeline(&self, key: &PipelineKey) -> Option<Arc<Pipeline>> {
        self.0.pipelines.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(crate) fn keep_pipeline(&self, key: PipelineKey, pipeline: Arc<Pipeline>) -> Arc<Pipeline> {
        let mut pipelines = self.0.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        pipelines.entry(key).or_insert(pipeline).clone()
    }

    pub(in crate::gpu) fn pipeline_cache(&self) -> Option<&PipelineCache> {
        self.0.pipeline_cache.as_ref()
    }

    /// Fails with the first cause if the device is lost or an error escaped every scope.
    pub(crate) fn check_health(&self, operation: &str) -> Result<()> {
        if let Some(unreadable) = &self.0.unreadable {
            return Err(unreadable.clone().into());
        }
        if self.0.home.own && self.0.faults.wants_cause() {
            // Our callback tells the cause once the queue is empty.
            let timeout = Some(Duration::from_secs(1));
            let _ = self.poll(wgpu::PollType::Wait { submission_index: None, timeout });
        }
        if let Some(cause) = self.0.faults.lost() {
            return Err(Error::DeviceLost {
                adapter: self.0.info.name.clone(),
                cause,
                last: self.0.faults.last(),
            });
        }
        match self.0.faults.take_uncaptured() {
            Some(cause) => Err(self.device_error(operation, cause)),
            None => Ok(()),
        }
    }

    pub(crate) fn home(&self) -> &Home {
        &self.0.home
    }
    pub(in crate::gpu) fn mark(&self) -> &Mark {
        self.0.mark.get_or_init(|| Mark::new(&self.0.device, self.0.home.name()))
    }

    pub(crate) fn device_error(&self, operation: &str, cause: impl Into<String>) -> Error {
        Error::Device { operation: operation.into(), adapter: self.0.info.name.clone(), cause: cause.into() }
    }

    pub(crate) fn limit_error(
        &self,
        operation: &str,
        what: &str,
        asked: u64,
        granted: u64,
        hint: &str,
    ) -> Error {
        Error::Limit {
            operation: operation.into(),
            what: what.into(),
            asked,
            granted,
            adapter: self.0.info.name.clone(),
            hint: hint.into(),
        }
    }

    /// Runs `work` inside error scopes of all three kinds on this thread, and turns an unwinding
    /// shader translator into an error as well.
    pub(crate) fn scoped<T>(&self, operation: &str, work: impl FnOnce() -> T) -> Result<T> {
        self.check_health(operation)?;
        let device = &self.0.device;
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let result = catch_unwind(AssertUnwindSafe(work));
        let validation = pollster::block_on(validation.pop());
        let memory = pollster::block_on(memory.pop());
        let internal = pollster::block_on(internal.pop());
        let failed = memory.is_some() || validation.is_some() || internal.is_some() || result.is_err();
        if failed {
            // What was reported may only follow from a loss.
            self.check_alive(operation)?;
        } else if self.0.faults.lost().is_some() {
            self.check_health(operation)?;
        }
        if let Some(cause) = memory {
            return Err(Error::OutOfMemory {
                operation: operation.into(),
                adapter: self.0.info.name.clone(),
                cause: cause.to_string(),
            });
        }
        if let Some(cause) = validation.or(internal) {
            return Err(self.device_error(operation, cause.to_string()));
        }
        result.map_err(|panic| self.device_error(operation, format!("wgpu panicked: {}", words_of(&*panic))))
    }
}

/// What a panic said.
pub(super) fn words_of(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown")
}
