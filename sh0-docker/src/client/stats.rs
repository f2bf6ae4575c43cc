//! How much of the machine a container uses.

use std::{
    collections::BTreeMap,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Client,
    body::{ByteStream, JsonStream},
    containers::container_path,
    error::Result,
    model::{or_default, time},
    request::Call,
    transport::whole,
};

/// One sample. What the engine or kernel does not tell is `None`, never 0. Counters grow from the container's start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// When it was taken; `None` when the container does not run, and then all else is `None` too.
    pub time: Option<Timestamp>,
    /// Processor time used, in nanoseconds.
    pub cpu_total_ns: Option<u64>,
    /// Of it in the kernel, in nanoseconds.
    pub cpu_kernel_ns: Option<u64>,
    /// Processor time used by the whole machine, idle time included, in nanoseconds.
    pub cpu_machine_ns: Option<u64>,
    /// Processors it may use.
    pub cpus: Option<u32>,
    /// Time it was held back by its processor limit, in nanoseconds.
    pub cpu_throttled_ns: Option<u64>,
    /// Memory charged to it, in bytes, file cache included.
    pub memory_bytes: Option<u64>,
    /// Of it file cache that can be dropped at once, in bytes.
    pub memory_inactive_file_bytes: Option<u64>,
    /// Memory limit in bytes; the machine's memory when it has none.
    pub memory_limit_bytes: Option<u64>,
    /// Received over all its networks, in bytes; `None` in the host's network.
    pub network_rx_bytes: Option<u64>,
    /// Sent over all its networks, in bytes.
    pub network_tx_bytes: Option<u64>,
    /// Read from disks, in bytes.
    pub disk_read_bytes: Option<u64>,
    /// Written to disks, in bytes.
    pub disk_write_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Most it may have.
    pub pids_limit: Option<u64>,
}

impl Stats {
    /// Memory that is really needed: what is charged, without cache that can be dropped at once.
    #[must_use]
    pub fn memory_needed_bytes(&self) -> Option<u64> {
        let used = self.memory_bytes?;
        Some(used.saturating_sub(self.memory_inactive_file_bytes.unwrap_or(0)))
    }

    /// Processors used between an earlier sample and this one: 0.5 is half of one.
    #[must_use]
    pub fn cpus_since(&self, earlier: &Self) -> Option<f64> {
        let used = self.cpu_total_ns?.checked_sub(earlier.cpu_total_ns?)?;
        let nanos = self.time?.as_nanosecond().checked_sub(earlier.time?.as_nanosecond()).filter(|nanos| *nanos > 0)?;
        #[allow(clippy::cast_precision_loss)] // A ratio for people.
        Some(used as f64 / nanos as f64)
    }
}

/// A sample about every second; see [`Client::stats_stream`].
#[derive(Debug)]
pub struct StatsStream {
    samples: JsonStream<Wire>,
}

impl Stream for StatsStream {
    type Item = Result<Stats>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(ready!(self.samples.poll_next_unpin(cx)).map(|sample| sample.map(Stats::from)))
    }
}

impl Client {
    /// Follows the use of a container; the stream ends when it is removed, not when it stops.
    /// API: `GET /containers/{id}/stats`.
    ///
    /// # Errors
    /// [`Error::NotFound`](super::Error::NotFound).
    pub async fn stats_stream(&self, id: &str) -> Result<StatsStream> {
        let call = Call::get(container_path(id, "stats")?).query("stream", "1");
        let (response, _) = self.transport.stream(&call, whole(Bytes::new())).await?;
        Ok(StatsStream { samples: JsonStream::new(ByteStream::new(response.into_body()), "stats") })
    }

    /// One sample. Engines before 25.0 take a second for it: to watch many containers, follow them.
    /// API: `GET /containers/{id}/stats`, `one-shot`.
    ///
    /// # Errors
    /// [`Error::NotFound`](super::Error::NotFound).
    pub async fn stats_once(&self, id: &str) -> Result<Stats> {
        let call = Call::get(container_path(id, "stats")?).query("stream", "0").query("one-shot", "1").slow();
        let sample: Wire = self.json(&call).await?;
        Ok(sample.into())
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wire {
    #[serde(deserialize_with = "time")]
    read: Option<Timestamp>,
    #[serde(deserialize_with = "or_default")]
    cpu_stats: Cpu,
    #[serde(deserialize_with = "or_default")]
    memory_stats: Memory,
    #[serde(deserialize_with = "or_default")]
    pids_stats: Pids,
    #[serde(deserialize_with = "or_default")]
    blkio_stats: Disk,
    #[serde(deserialize_with = "or_default")]
    networks: Option<BTreeMap<String, Link>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cpu {
    #[serde(deserialize_with = "or_default")]
    cpu_usage: CpuUsage,
    #[serde(deserialize_with = "or_default")]
    system_cpu_usage: Option<u64>,
    #[serde(deserialize_with = "or_default")]
    online_cpus: Option<u32>,
    #[serde(deserialize_with = "or_default")]
    throttling_data: Throttling,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CpuUsage {
    #[serde(deserialize_with = "or_default")]
    total_usage: Option<u64>,
    #[serde(deserialize_with = "or_default")]
    usage_in_kernelmode: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Throttling {
    #[serde(deserialize_with = "or_default")]
    throttled_time: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Memory {
    #[serde(deserialize_with = "or_default")]
    usage: Option<u64>,
    #[serde(deserialize_with = "or_default")]
    limit: Option<u64>,
    #[serde(deserialize_with = "or_default")]
    stats: MemoryDetail,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MemoryDetail {
    /// cgroup v1.
    #[serde(deserialize_with = "or_default")]
    total_inactive_file: Option<u64>,
    /// cgroup v2 (and v1 without children).
    #[serde(deserialize_with = "or_default")]
    inactive_file: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pids {
    #[serde(deserialize_with = "or_default")]
    current: Option<u64>,
    /// Unlimited is 2^64 - 1 on some engines, absent or 0 on others.
    #[serde(deserialize_with = "or_default")]
    limit: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Disk {
    #[serde(deserialize_with = "or_default")]
    io_service_bytes_recursive: Option<Vec<DiskEntry>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DiskEntry {
    #[serde(deserialize_with = "or_default")]
    op: String,
    #[serde(deserialize_with = "or_default")]
    value: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Link {
    #[serde(deserialize_with = "or_default")]
    rx_bytes: u64,
    #[serde(deserialize_with = "or_default")]
    tx_bytes: u64,
}

impl From<Wire> for Stats {
    fn from(wire: Wire) -> Self {
        // A container that does not run has a sample full of zeros without a time.
        let Some(time) = wire.read else { return Self::default() };
        let links = |of: fn(&Link) -> u64| wire.networks.as_ref().map(|links| links.values().map(of).sum());
        let disk = |op: &str| {
            // cgroup v1 says `Read`, v2 says `read`. An empty list can mean both "nothing yet" and "not known".
            let entries = wire.blkio_stats.io_service_bytes_recursive.as_ref().filter(|entries| !entries.is_empty())?;
            Some(entries.iter().filter(|entry| entry.op.eq_ignore_ascii_case(op)).map(|entry| entry.value).sum())
        };
        let memory = &wire.memory_stats;
        Self {
            time: Some(time),
            cpu_total_ns: wire.cpu_stats.cpu_usage.total_usage,
            cpu_kernel_ns: wire.cpu_stats.cpu_usage.usage_in_kernelmode,
            cpu_machine_ns: wire.cpu_stats.system_cpu_usage,
            cpus: wire.cpu_stats.online_cpus.filter(|cpus| *cpus > 0),
            cpu_throttled_ns: wire.cpu_stats.throttling_data.throttled_time,
            memory_bytes: memory.usage,
            memory_inactive_file_bytes: memory.stats.total_inactive_file.or(memory.stats.inactive_file),
            memory_limit_bytes: memory.limit,
            network_rx_bytes: links(|link| link.rx_bytes),
            network_tx_bytes: links(|link| link.tx_bytes),
            disk_read_bytes: disk("read"),
            disk_write_bytes: disk("write"),
            pids: wire.pids_stats.current,
            pids_limit: wire.pids_stats.limit.filter(|limit| *limit > 0 && *limit < u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn stats(text: &str) -> Stats {
        serde_json::from_str::<Wire>(text).unwrap().into()
    }

    #[test]
    fn a_stopped_container_has_no_numbers() {
        let stopped = stats(
            r#"{"read":"0001-01-01T00:00:00Z","cpu_stats":{"cpu_usage":{"total_usage":0}},"memory_stats":{},"pids_stats":{}}"#,
        );
        assert_eq!(stopped, Stats::default());
    }

    #[test]
    fn what_is_absent_is_none_and_both_cgroup_versions_are_read() {
        let v2 = stats(
            r#"{"read":"2026-01-01T00:00:00Z","memory_stats":{"usage":100,"stats":{"inactive_file":30}},
                "blkio_stats":{"io_service_bytes_recursive":[{"op":"read","value":7},{"op":"write","value":1},{"op":"read","value":3}]},
                "pids_stats":{"current":2,"limit":18446744073709551615}}"#,
        );
        assert_eq!(v2.memory_needed_bytes(), Some(70));
        assert_eq!((v2.disk_read_bytes, v2.disk_write_bytes), (Some(10), Some(1)));
        assert_eq!((v2.network_rx_bytes, v2.cpu_total_ns, v2.pids_limit), (None, None, None));
        let v1 = stats(
            r#"{"read":"2026-01-01T00:00:00Z","memory_stats":{"usage":100,"stats":{"inactive_file":1,"total_inactive_file":40}},
                "blkio_stats":{"io_service_bytes_recursive":null},"networks":{"eth0":{"rx_bytes":1},"eth1":{"rx_bytes":2}}}"#,
        );
        assert_eq!(v1.memory_needed_bytes(), Some(60));
        assert_eq!((v1.network_rx_bytes, v1.disk_read_bytes), (Some(3), None));
    }

    #[test]
    fn a_rate_needs_two_samples_in_order() {
        let at = |second: i64, cpu: u64| Stats {
            time: Some(Timestamp::from_second(second).unwrap()),
            cpu_total_ns: Some(cpu),
            ..Stats::default()
        };
        assert_eq!(at(12, 1_500_000_000).cpus_since(&at(10, 500_000_000)), Some(0.5));
        assert_eq!(at(10, 5).cpus_since(&at(10, 5)), None);
        assert_eq!(at(12, 1).cpus_since(&at(10, 5)), None);
    }
}
