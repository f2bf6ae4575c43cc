//! Making the files of an instance: what must be there before its shim.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use rustix::fs::FlockOperation;
use sh0_core::model::{AppId, InstanceName};
use sh0_core::traits::InstanceSpec;
use sh0_core::{Error, LocalKey, Result};
use sha2::{Digest, Sha256};

use super::instances::{Instances, blocking, is_release_id, local, program};
use super::launch::{State, read_json, write_json};
use super::layout::{Layout, make};
use super::record::{Command, Meta, Record, Variables};
use super::uids;

/// Ports of instances: below those that the kernel gives to outgoing connections (32768 on, ip(7)), so that nobody
/// takes a port while its instance is down.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

impl Instances {
    pub(crate) async fn create(self: &Arc<Self>, spec: &InstanceSpec) -> Result<()> {
        let (this, own) = (self.clone(), spec.clone());
        self.change(&spec.name, blocking(move || this.create_files(&own))).await
    }

    fn create_files(&self, spec: &InstanceSpec) -> Result<()> {
        if spec.labels.platform != self.config.platform {
            return Err(Error::invalid("platform", "is another one", "create instances through their own platform"));
        }
        if let Some(record) = read_json::<Record>(&self.layout.spec(&spec.name))? {
            return match record.platform == spec.labels.platform {
                true => Ok(()),
                false => Err(Error::conflict(format!("{} belongs to another platform", spec.name))),
            };
        }
        if let Some((key, _)) = spec.env.iter().find(|(_, value)| value.expose().contains('\0')) {
            return Err(Error::invalid(format!("env.{key}"), "contains a zero byte", "no process can receive one"));
        }
        let meta = self.meta(spec)?;
        program(&self.layout, spec.command.as_ref().map(Command::from), &meta, &spec.artifact.id, 1)?;
        let owner = self.owner(spec.labels.app)?;
        let lock = self.layout.lock_instances()?;
        rustix::fs::flock(&lock, FlockOperation::LockShared).map_err(io::Error::from)?;
        for folder in [self.layout.instance(&spec.name), self.layout.logs(&spec.name)] {
            make(&folder, 0o700, None)?;
        }
        Layout::make_home(&self.layout.tmp(&spec.name), owner)?;
        for mount in &spec.volumes {
            self.ensure_volume(spec.labels.app, &mount.name, owner)?;
        }
        // Chosen and written under one lock: no two instances of this runtime get the same.
        let _ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let port = spec.port.map(|_| self.free_port(&spec.name)).transpose()?;
        let env = Variables::keep(self.config.sealer.as_deref(), &spec.name, spec.env.clone())?;
        write_json(&self.layout.spec(&spec.name), &Record::new(spec, env, port, LocalKey::generate()?))?;
        Ok(State::created().write(&self.layout.state(&spec.name))?)
    }

    fn meta(&self, spec: &InstanceSpec) -> Result<Meta> {
        if !is_release_id(&spec.artifact.id) {
            return Err(Error::not_found("release folder", &spec.artifact.id));
        }
        read_json(&self.layout.meta(spec.labels.app, &spec.artifact.id))?
            .ok_or_else(|| Error::not_found("release folder", &spec.artifact.id))
    }

    /// The user that runs this app; `None` is the user that runs sh0.
    pub(crate) fn owner(&self, app: AppId) -> Result<Option<u32>> {
        match self.host.own_users {
            true => Ok(Some(uids::of(&self.layout, app)?)),
            false => Ok(None),
        }
    }

    pub(crate) fn ensure_volume(
        &self,
        app: AppId,
        name: &sh0_core::model::VolumeName,
        owner: Option<u32>,
    ) -> Result<PathBuf> {
        make(&self.layout.app_volumes(app), 0o711, None)?;
        let path = self.layout.volume(app, name);
        make(&path, 0o700, owner)?;
        Ok(path)
    }

    /// A port that nobody uses and no other instance was given. Starts at a place that the name decides, so that
    /// several platforms on one host rarely look at the same ports.
    pub(crate) fn free_port(&self, name: &InstanceName) -> Result<u16> {
        let mut given = Vec::new();
        for other in self.names()?.iter().filter(|other| *other != name) {
            given.extend(read_json::<Record>(&self.layout.spec(other))?.and_then(|record| record.port));
        }
        let hash = Sha256::digest(name.as_str().as_bytes());
        let first = u16::from_be_bytes([hash[0], hash[1]]);
        let count = PORTS.end - PORTS.start;
        (0..count)
            .map(|step| PORTS.start + (first % count + step) % count)
            .find(|port| !given.contains(port) && is_free(*port))
            .ok_or_else(|| Error::unavailable(format!("every port from {} to {} is taken", PORTS.start, PORTS.end)))
    }
}

pub(crate) fn is_free(port: u16) -> bool {
    // An app may listen on every address or on loopback: both must be free.
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() && TcpListener::bind(local(port)).is_ok()
}
