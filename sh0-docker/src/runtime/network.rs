//! The platform's network, and each container's address in it.
//!
//! A proxy that outlives the server goes on sending traffic to the addresses it knows. On the default bridge the engine
//! gives addresses in the order of starts, so that after a restart one app's address may be another's. Here each container
//! has a fixed address from its creation to its removal, and no other container of the platform may have it.
//!
//! The lower half of the subnet is left to whatever else is connected to the network; the upper half is given by us. The
//! network is made with the first container and goes with the last. What the default bridge forbids or sets (traffic
//! between containers, masquerading, MTU) holds here too; containers of one platform can reach each other unless it
//! forbids that, as on the default bridge, and not those of other networks.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use sh0_core::model::InstanceName;
use sh0_core::{Code, Error, ParseError, Result};
use tokio::sync::MutexGuard;

use super::DockerRuntime;
use super::fault::told;
use super::labels::{MANAGED, PLATFORM};
use crate::client::{
    self, ConnectOptions, ContainerSpec, Filters, Labels, ListContainers, Network, NetworkMode, NetworkSpec,
};

/// The default bridge's options that hold for the platform's network too; user networks do not inherit them by themselves.
const INHERITED: [&str; 4] = [
    "com.docker.network.bridge.enable_icc",
    "com.docker.network.bridge.enable_ip_masquerade",
    "com.docker.network.bridge.host_binding_ipv4",
    "com.docker.network.driver.mtu",
];

/// A subnet of IPv4 addresses in CIDR notation, `10.213.0.0/20`, from /8 to /28.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    base: u32,
    prefix: u8,
}

impl Subnet {
    /// The subnet of this size around an address.
    fn around(addr: Ipv4Addr, prefix: u8) -> Subnet {
        Subnet { base: u32::from(addr) & mask(prefix), prefix }
    }

    /// Any prefix: of networks and routes that are not ours.
    fn read(text: &str) -> Option<Subnet> {
        let (addr, prefix) = text.split_once('/')?;
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
        Some(Subnet::around(addr.parse().ok()?, prefix))
    }

    fn contains(self, addr: Ipv4Addr) -> bool {
        u32::from(addr) & mask(self.prefix) == self.base
    }

    fn overlaps(self, other: Subnet) -> bool {
        let shared = mask(self.prefix.min(other.prefix));
        self.base & shared == other.base & shared
    }

    /// The half from which the engine gives addresses.
    fn lower(self) -> Subnet {
        Subnet { base: self.base, prefix: self.prefix + 1 }
    }

    /// The addresses that we give, beginning at a place that the name decides: so one that was let go a moment ago is not
    /// the next that is given.
    fn upper(self, name: &InstanceName) -> impl Iterator<Item = Ipv4Addr> {
        let half = 1_u32 << (31 - u32::from(self.prefix));
        // The last one is the broadcast address.
        let count = half - 1;
        let mut hasher = DefaultHasher::new();
        name.as_str().hash(&mut hasher);
        let first = (hasher.finish() % u64::from(count)) as u32;
        (0..count).map(move |step| Ipv4Addr::from(self.base + half + (first + step) % count))
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Subnet {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let found = Subnet::read(text).filter(|subnet| (8..=28).contains(&subnet.prefix));
        let hint = "write an IPv4 subnet from /8 to /28, such as 10.213.0.0/20";
        found.ok_or_else(|| ParseError::new("subnet", format!("is `{text}`"), hint))
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

/// Subnets that are tried, one after the other: rarely used parts of 10.0.0.0/8, then what the engine's own default pools
/// come to last.
fn candidates() -> impl Iterator<Item = Subnet> {
    let seconds = [213, 87, 151, 39].map(|second| (10, second)).into_iter().chain([30, 29, 28].map(|s| (172, s)));
    let wide = seconds.flat_map(|(first, second)| (0..16).map(move |n| Ipv4Addr::new(first, second, n * 16, 0)));
    wide.chain((6..16).map(|n| Ipv4Addr::new(192, 168, n * 16, 0))).map(|addr| Subnet::around(addr, 20))
}

/// Where this host already sends traffic by other ways than the default one.
fn routes(table: &str) -> Vec<Subnet> {
    let number = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::from_be);
    let route = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let prefix = number(columns.get(7)?)?.count_ones() as u8;
        Some(Subnet::around(number(columns.get(1)?)?.into(), prefix)).filter(|route| route.prefix > 0)
    };
    table.lines().skip(1).filter_map(route).collect()
}

/// Whether a start failed because the container's place in the network is gone: the network was removed, or somebody else
/// has the address.
pub(super) fn lost_place(error: &client::Error) -> bool {
    let text = error.to_string();
    text.contains("Address already in use") || text.contains("network ") && text.contains("not found")
}

impl DockerRuntime {
    fn network_name(&self) -> String {
        format!("sh0-{}", self.platform)
    }

    /// What is asked for, with a free address in the platform's network. Nobody else gets one while the guard lives.
    pub(super) async fn placed(
        &self,
        name: &InstanceName,
        asked: ContainerSpec,
    ) -> Result<(ContainerSpec, MutexGuard<'_, ()>)> {
        let turn = self.addresses.lock().await;
        let network = self.network().await?;
        let address = self.free_address(&network, name).await?;
        let network = Some(NetworkMode::Named(network.name));
        Ok((ContainerSpec { network, address: Some(address.into()), ..asked }, turn))
    }

    /// Puts a container that could not be started into the network again: at its address, or at a free one when somebody
    /// else has that now.
    pub(super) async fn place_again(&self, name: &InstanceName) -> Result<()> {
        let _turn = self.addresses.lock().await;
        let network = self.network().await?;
        let address = self.free_address(&network, name).await?;
        // Refused when it is not in it; then there is nothing to leave.
        let _ = self.client.disconnect_network(&network.name, name.as_str(), true).await;
        let options = ConnectOptions { ip: Some(address.into()), ..ConnectOptions::default() };
        self.client.connect_network(&network.name, name.as_str(), &options).await.map_err(told)
    }

    /// The network goes with its last container.
    pub(super) async fn leave_network(&self) {
        let _turn = self.addresses.lock().await;
        let all = ListContainers { all: true, filters: self.ours(None) };
        if self.client.list_containers(&all).await.is_ok_and(|left| left.is_empty())
            && let Err(error) = self.client.remove_network(&self.network_name()).await
            && !error.is_not_found()
        {
            tracing::debug!(%error, "the platform's network stays: something else is in it");
        }
    }

    /// The platform's network, made now if need be.
    async fn network(&self) -> Result<Network> {
        let name = self.network_name();
        match self.client.inspect_network(&name).await {
            Ok(network) if network.labels.get(PLATFORM) == Some(&self.platform.to_string()) => Ok(network),
            Ok(_) => Err(Error::conflict(format!(
                "a network named {name} exists that is not of this platform; remove or rename it"
            ))),
            Err(error) if error.is_not_found() => self.make_network(&name).await,
            Err(error) => Err(told(error)),
        }
    }

    async fn make_network(&self, name: &str) -> Result<Network> {
        let mut taken = routes(&std::fs::read_to_string("/proc/net/route").unwrap_or_default());
        for network in self.client.list_networks(&Filters::new()).await.map_err(told)? {
            taken.extend(network.subnets().filter_map(Subnet::read));
        }
        // Somebody has removed the network while containers were stopped: they come back to their addresses.
        let before = self.fixed_addresses(name).await?.into_iter().map(|(_, addr)| Subnet::around(addr, 20)).next();
        let options = match self.client.inspect_network("bridge").await {
            Ok(bridge) => bridge.options.into_iter().filter(|(key, _)| INHERITED.contains(&key.as_str())).collect(),
            Err(_) => Default::default(),
        };
        let asked: Vec<Subnet> = match self.options.subnet {
            Some(subnet) => vec![subnet],
            None => before.into_iter().chain(candidates()).filter(|s| !taken.iter().any(|t| t.overlaps(*s))).collect(),
        };
        let mut spec = NetworkSpec {
            name: name.to_owned(),
            labels: Labels::from([
                (MANAGED.to_owned(), "1".to_owned()),
                (PLATFORM.to_owned(), self.platform.to_string()),
            ]),
            options,
            ..NetworkSpec::default()
        };
        for subnet in &asked {
            spec.subnets = vec![subnet.to_string()];
            spec.ip_range = Some(subnet.lower().to_string());
            match self.client.create_network(&spec).await {
                Ok(_) => return self.client.inspect_network(name).await.map_err(told),
                // Somebody else was faster.
                Err(error) if error.is_conflict() => return self.client.inspect_network(name).await.map_err(told),
                Err(error) if self.options.subnet.is_none() && error.to_string().contains("overlap") => {}
                Err(error) => return Err(told(error)),
            }
        }
        let text =
            "no subnet is free for the platform's network: set `docker_subnet` to one that this host does not use";
        Err(Error::new(Code::DeployFailed, text))
    }

    /// Our containers with their addresses, also of those that do not run.
    async fn fixed_addresses(&self, network: &str) -> Result<Vec<(String, Ipv4Addr)>> {
        let all = ListContainers { all: true, filters: self.ours(None) };
        let all = self.client.list_containers(&all).await.map_err(told)?;
        let address = |container: &client::ContainerSummary| match container.networks().get(network)?.fixed()? {
            IpAddr::V4(addr) => Some((container.name()?.to_owned(), addr)),
            IpAddr::V6(_) => None,
        };
        Ok(all.iter().filter_map(address).collect())
    }

    /// An address for a container: the one it has, unless another container has it too, else one that nobody has.
    async fn free_address(&self, network: &Network, name: &InstanceName) -> Result<Ipv4Addr> {
        let subnet = network.subnets().find_map(Subnet::read).filter(|subnet| subnet.prefix <= 28);
        let Some(subnet) = subnet else {
            let text = format!("the network {} has no IPv4 subnet of /28 or more; remove it", network.name);
            return Err(Error::new(Code::DeployFailed, text));
        };
        let mut taken = BTreeSet::new();
        taken.extend(network.gateways());
        taken.extend(network.containers.values().filter(|other| other.name != name.as_str()).filter_map(|c| c.ip()));
        let mut own = None;
        for (other, addr) in self.fixed_addresses(&network.name).await? {
            match other == name.as_str() {
                true => own = Some(addr).filter(|addr| subnet.contains(*addr)),
                false => _ = taken.insert(addr.into()),
            }
        }
        let free = |addr: &Ipv4Addr| !taken.contains(&IpAddr::V4(*addr));
        own.into_iter().chain(subnet.upper(name)).find(free).ok_or_else(|| {
            let text = format!(
                "every address of the platform's network ({subnet}) is given: remove apps, or set `docker_subnet` to a larger one"
            );
            Error::new(Code::DeployFailed, text)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn subnets_are_read_and_compared() {
        assert_eq!(subnet("10.213.7.9/20").to_string(), "10.213.0.0/20");
        for wrong in ["", "10.0.0.0", "10.0.0.0/29", "10.0.0.0/4", "10.0.0/20", "fd00::/64", "10.0.0.0/x"] {
            assert!(wrong.parse::<Subnet>().unwrap_err().to_string().contains("subnet"), "{wrong}");
        }
        let ours = subnet("10.213.16.0/20");
        for (other, expected) in [
            ("10.213.0.0/16", true),
            ("10.213.31.255/32", true),
            ("0.0.0.0/0", true),
            ("10.213.32.0/20", false),
            ("10.213.0.0/20", false),
        ] {
            assert_eq!(ours.overlaps(Subnet::read(other).unwrap()), expected, "{other}");
        }
    }

    #[test]
    fn given_addresses_are_of_the_upper_half_and_all_different() {
        let small = subnet("10.1.0.0/28");
        let name: InstanceName = "sh0-01jcz0000000000000000000ab-web-0".parse().unwrap();
        let given: BTreeSet<Ipv4Addr> = small.upper(&name).collect();
        let expected: BTreeSet<Ipv4Addr> = (8..15).map(|last| Ipv4Addr::new(10, 1, 0, last)).collect();
        assert_eq!(given, expected);
        assert_eq!(small.lower().to_string(), "10.1.0.0/29");
    }

    #[test]
    fn candidates_are_whole_and_apart() {
        let all: Vec<Subnet> = candidates().collect();
        assert_eq!(all.len(), 122);
        for (place, one) in all.iter().enumerate() {
            assert!(all[place + 1..].iter().all(|other| !one.overlaps(*other)), "{one}");
        }
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn the_hosts_routes_but_not_its_default_one() {
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        assert_eq!(routes(table), [Subnet::read("172.17.0.0/16").unwrap()]);
    }
}
