//! Reading tensors back: waiting, with a time limit, or later.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::gpu::device::counters::count;
use crate::gpu::device::tensor::Tensor;
use crate::gpu::record::shape::Element;
use crate::gpu::{DType, Gpu};
use crate::{Error, Result};

/// A readback under way. The copy was submitted; the values can be picked up when the device is
/// done with it.
///
/// It can be asked ([`Readback::try_take`]), waited for ([`Readback::wait`]) or awaited. Awaiting
/// blocks no thread of the executor: a thread that the first poll starts looks after the device
/// until the values are there, so that nobody else need poll it. The future ends with
/// [`Error::Timeout`] after [`Gpu::timeout`], and gives its values once.
#[derive(Debug)]
pub struct Readback<T> {
    /// Before `staging`: dropping the buffer fails its map, which must find nobody who waits.
    arrived: Mutex<Receiver<Result<(), wgpu::BufferAsyncError>>>,
    gpu: Gpu,
    label: String,
    staging: wgpu::Buffer,
    bytes: u64,
    /// The device is to be destroyed before the values arrive.
    doomed: bool,
    signal: Arc<Mutex<Signal>>,
    /// When a future gives up; set by its first poll.
    deadline: Option<Instant>,
    _element: std::marker::PhantomData<fn() -> T>,
}

/// What the map's callback tells to those who await it.
#[derive(Debug, Default)]
struct Signal {
    is_done: bool,
    waker: Option<Waker>,
}

fn lock(signal: &Mutex<Signal>) -> std::sync::MutexGuard<'_, Signal> {
    signal.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Longest pause between two looks at the device.
const LONGEST_PAUSE: Duration = Duration::from_millis(2);

/// Polls the device until the map's callback has run, or the deadline has passed, and wakes the
/// future then. It does not wait inside of wgpu, which would keep others from submitting.
fn watch(gpu: &Gpu, signal: &Mutex<Signal>, deadline: Instant) {
    let mut pause = Duration::from_micros(50);
    while !lock(signal).is_done && Instant::now() < deadline && gpu.faults().lost().is_none() {
        std::thread::sleep(pause);
        pause = (2 * pause).min(LONGEST_PAUSE);
        if gpu.poll(wgpu::PollType::Poll).is_err() {
            break;
        }
    }
    if let Some(waker) = lock(signal).waker.take() {
        waker.wake();
    }
}

fn range_of(tensor: &Tensor) -> (&wgpu::Buffer, u64, u64) {
    (tensor.buffer(), tensor.offset(), tensor.bytes())
}

impl Gpu {
    /// Reads a tensor and waits for it, at most [`Gpu::timeout`]. Elements come in memory order,
    /// padding included.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::DeviceLost`] with the first cause, [`Error::Argument`] for a
    /// wrong element type or a tensor of another device.
    pub fn read<T: Element>(&self, tensor: &Tensor) -> Result<Vec<T>> {
        tensor.check_element::<T>("read")?;
        tensor.check_home(self, || "read".into())?;
        count(&self.counting().blocking_readbacks, 1);
        self.start_read(tensor.label(), &[range_of(tensor)])?.wait(self.timeout())
    }

    /// Reads several tensors and waits once for all of them, as [`Gpu::read`].
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub fn read_all<T: Element>(&self, tensors: &[&Tensor]) -> Result<Vec<Vec<T>>> {
        let Some(first) = tensors.first() else { return Ok(Vec::new()) };
        for tensor in tensors {
            tensor.check_element::<T>("read")?;
            tensor.check_home(self, || "read".into())?;
        }
        count(&self.counting().blocking_readbacks, 1);
        let ranges: Vec<_> = tensors.iter().map(|tensor| range_of(tensor)).collect();
        let values: Vec<T> = self.start_read(first.label(), &ranges)?.wait(self.timeout())?;
        let mut rest = &values[..];
        let parts = tensors.iter().map(|tensor| {
            let (part, others) = rest.split_at(tensor.bytes() as usize / T::DTYPE.size());
            rest = others;
            part.to_vec()
        });
        Ok(parts.collect())
    }

    /// As [`Gpu::read`], for an executor: see [`Readback`] for who polls the device.
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub async fn read_async<T: Element>(&self, tensor: &Tensor) -> Result<Vec<T>> {
        self.read_later(tensor)?.await
    }

    /// Starts to read a tensor without waiting.
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub fn read_later<T: Element>(&self, tensor: &Tensor) -> Result<Readback<T>> {
        tensor.check_element::<T>("read")?;
        tensor.check_home(self, || "read".into())?;
        count(&self.counting().async_readbacks, 1);
        self.start_read(tensor.label(), &[range_of(tensor)])
    }

    pub(crate) fn read_buffer<T: Element>(
        &self,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: u64,
    ) -> Result<Vec<T>> {
        count(&self.counting().blocking_readbacks, 1);
        self.start_read("buffer", &[(buffer, offset, bytes)])?.wait(self.timeout())
    }

    fn start_read<T: Element>(
        &self,
        label: &str,
        ranges: &[(&wgpu::Buffer, u64, u64)],
    ) -> Result<Readback<T>> {
        let operation = format!("read `{label}`");
        let mut encoder =
            self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some(&operation) });
        let readback = self.copy_out(label, &mut encoder, ranges, None)?;
        let commands = self.scoped(&operation, || encoder.finish())?;
        self.submit(&operation, commands)?;
        Ok(readback)
    }

    /// Adds copies of several buffer ranges, one behind the other, to an encoder; the staging
    /// buffer (the given one, if it is large enough) maps itself when that encoder is submitted.
    pub(crate) fn copy_out<T: Element>(
        &self,
        label: &str,
        encoder: &mut wgpu::CommandEncoder,
        ranges: &[(&wgpu::Buffer, u64, u64)],
        staging: Option<wgpu::Buffer>,
    ) -> Result<Readback<T>> {
        debug_assert_eq!(T::DTYPE.size(), DType::U32.size());
        let bytes: u64 = ranges.iter().map(|&(_, _, bytes)| bytes).sum();
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = match staging {
            Some(known) if known.size() >= bytes => known,
            _ => self.create_buffer(&format!("read `{label}`"), bytes, usage)?,
        };
        let (sender, arrived) = channel();
        let faults = self.faults().clone();
        let signal = Arc::new(Mutex::new(Signal::default()));
        let told = signal.clone();
        self.scoped(&format!("read `{label}`"), || {
            let mut at = 0;
            for &(buffer, offset, bytes) in ranges {
                encoder.copy_buffer_to_buffer(buffer, offset, &staging, at, bytes);
                at += bytes;
            }
            encoder.map_buffer_on_submit(&staging, wgpu::MapMode::Read, .., move |result| {
                // The one reliable sign of a lost device that was adopted. The receiver is gone
                // when nobody wants the values any more: then a failed map says nothing.
                let failed = result.is_err();
                if sender.send(result).is_ok() && failed {
                    faults.infer_lost("mapping a readback failed");
                }
                let waker = {
                    let mut told = lock(&told);
                    told.is_done = true;
                    told.waker.take()
                };
                if let Some(waker) = waker {
                    waker.wake();
                }
            });
        })?;
        Ok(Readback {
            gpu: self.clone(),
            label: label.into(),
            staging,
            bytes,
            arrived: Mutex::new(arrived),
            doomed: self.injected().at_map(),
            signal,
            deadline: None,
            _element: std::marker::PhantomData,
        })
    }
}

impl<T: Element> Readback<T> {
    /// The values, if they have arrived. Polls the device without waiting.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] if the copy failed.
    pub fn try_take(&mut self) -> Result<Option<Vec<T>>> {
        if std::mem::take(&mut self.doomed) {
            self.gpu.device().destroy();
        }
        if let Err(cause) = self.gpu.poll(wgpu::PollType::Poll) {
            return Err(self.gpu.device_error(&self.label, cause.to_string()));
        }
        // Also when something arrived: what a lost device still delivers is not to be trusted.
        let arrived = self.arrived.get_mut().unwrap_or_else(PoisonError::into_inner).try_recv();
        self.gpu.check_health(&self.label)?;
        match arrived {
            Ok(result) => self.take(result).map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => {
                Err(self.gpu.device_error(&self.label, "the copy was dropped before it was submitted"))
            }
        }
    }

    /// Waits for the values.
    ///
    /// # Errors
    /// [`Error::Timeout`] after `limit`, [`Error::DeviceLost`] with the first cause.
    pub fn wait(&mut self, limit: Duration) -> Result<Vec<T>> {
        let operation = format!("read `{}`", self.label);
        // A limit beyond what the clock can hold is no limit.
        let far = Duration::from_secs(u32::MAX.into());
        let deadline = Instant::now() + limit.min(far);
        loop {
            if let Some(values) = self.try_take()? {
                return Ok(values);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.late(limit));
            }
            self.gpu.wait_for(&operation, None, left)?;
        }
    }

    fn late(&self, limit: Duration) -> Error {
        Error::Timeout {
            operation: format!("read `{}`", self.label),
            seconds: limit.as_secs_f64(),
            adapter: self.gpu.info().name.clone(),
            last: self.gpu.faults().last(),
        }
    }

    /// The staging buffer, to be used again once the values were taken.
    pub(crate) fn into_staging(self) -> wgpu::Buffer {
        self.staging
    }

    fn take(&self, result: Result<(), wgpu::BufferAsyncError>) -> Result<Vec<T>> {
        if result.is_err() {
            self.gpu.check_health(&self.label)?;
        }
        let values = self.gpu.scoped(&self.label, || {
            let range = self.staging.slice(..self.bytes).get_mapped_range();
            let values = range.map(|view| bytemuck::pod_collect_to_vec(&view));
            self.staging.unmap();
            values
        });
        if values.is_err() {
            // A device that was lost between the copy and here says so in a poll.
            let _ = self.gpu.poll(wgpu::PollType::Poll);
            self.gpu.check_health(&self.label)?;
        }
        values?.map_err(|cause| self.gpu.device_error(&self.label, cause.to_string()))
    }
}

impl<T: Element> Future for Readback<T> {
    type Output = Result<Vec<T>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        // Before the values are asked for: a callback that runs between the two finds somebody to
        // wake.
        lock(&this.signal).waker = Some(context.waker().clone());
        match this.try_take() {
            Ok(None) => {}
            Ok(Some(values)) => return Poll::Ready(Ok(values)),
            Err(error) => return Poll::Ready(Err(error)),
        }
        let limit = this.gpu.timeout();
        match this.deadline {
            Some(deadline) if Instant::now() >= deadline => Poll::Ready(Err(this.late(limit))),
            Some(_) => Poll::Pending,
            None => {
                let deadline = Instant::now() + limit.min(Duration::from_secs(u32::MAX.into()));
                this.deadline = Some(deadline);
                let (gpu, signal) = (this.gpu.clone(), this.signal.clone());
                let thread = std::thread::Builder::new().name("gibbs readback".into());
                match thread.spawn(move || watch(&gpu, &signal, deadline)) {
                    Ok(_) => Poll::Pending,
                    Err(cause) => Poll::Ready(Err(this.gpu.device_error(&this.label, cause.to_string()))),
                }
            }
        }
    }
}
