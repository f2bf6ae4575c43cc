//! Networks.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, json};

use super::{
    Client,
    error::Result,
    model::{Filters, Labels, or_default, time},
    request::{Call, segment},
    spec::{fixed, put},
};

/// A network to be created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSpec {
    /// Its name.
    pub name: String,
    /// `bridge`, the default, or `overlay`, ...
    pub driver: Option<String>,
    /// Without a way out to other networks.
    pub internal: bool,
    /// For overlay networks: containers outside services may join.
    pub attachable: bool,
    /// Give IPv6 addresses too.
    pub ipv6: bool,
    /// Labels.
    pub labels: Labels,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
    /// Subnets in CIDR notation; the engine chooses when empty.
    pub subnets: Vec<String>,
    /// The part of the first subnet from which the engine gives addresses to those that ask for none, in CIDR notation.
    pub ip_range: Option<String>,
}

/// A network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct Network {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// When it was made.
    #[serde(deserialize_with = "time")]
    pub created: Option<Timestamp>,
    /// `bridge`, `host`, `null`, `overlay`, ...
    #[serde(deserialize_with = "or_default")]
    pub driver: String,
    /// `local` or `swarm`.
    #[serde(deserialize_with = "or_default")]
    pub scope: String,
    /// Whether it has no way out.
    #[serde(deserialize_with = "or_default")]
    pub internal: bool,
    /// Labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: Labels,
    /// The driver's options.
    #[serde(deserialize_with = "or_default")]
    pub options: BTreeMap<String, String>,
    /// Running containers in it, by id. Told by an inspection only, not by a list.
    #[serde(deserialize_with = "or_default")]
    pub containers: BTreeMap<String, NetworkContainer>,
    #[serde(rename = "IPAM", deserialize_with = "or_default")]
    ipam: Ipam,
}

impl Network {
    /// Subnets in CIDR notation.
    pub fn subnets(&self) -> impl Iterator<Item = &str> {
        self.ipam.config.iter().filter_map(|config| config.subnet.as_deref())
    }

    /// Addresses of its gateways.
    pub fn gateways(&self) -> impl Iterator<Item = IpAddr> {
        self.ipam.config.iter().filter_map(|config| config.gateway.as_deref()?.parse().ok())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Ipam {
    #[serde(deserialize_with = "or_default")]
    config: Vec<IpamConfig>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct IpamConfig {
    #[serde(deserialize_with = "or_default")]
    subnet: Option<String>,
    #[serde(deserialize_with = "or_default")]
    gateway: Option<String>,
}

/// A container in a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct NetworkContainer {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    #[serde(rename = "IPv4Address", deserialize_with = "or_default")]
    ipv4: String,
}

impl NetworkContainer {
    /// Its IPv4 address there.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        // Written with the length of the prefix.
        self.ipv4.split('/').next()?.parse().ok()
    }
}

/// How a container joins a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// Names it answers to there. Aliases are shared: two containers with the same one both get the traffic.
    pub aliases: Vec<String>,
    /// A fixed address; the network must have been given its subnet.
    pub ip: Option<IpAddr>,
}

impl Client {
    /// Creates a network and returns its id. API: `POST /networks/create`.
    ///
    /// # Errors
    /// [`Error::Conflict`](super::Error::Conflict) when the name is taken;
    /// [`Error::BadRequest`](super::Error::BadRequest) or [`Error::Server`](super::Error::Server) for subnets that
    /// overlap.
    pub async fn create_network(&self, spec: &NetworkSpec) -> Result<String> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "Id")]
            id: String,
        }
        let mut body = Map::new();
        body.insert("Name".into(), spec.name.as_str().into());
        // Before API 1.44 names are not unique unless this is asked for.
        body.insert("CheckDuplicate".into(), true.into());
        body.insert("Driver".into(), spec.driver.as_deref().unwrap_or("bridge").into());
        body.insert("Internal".into(), spec.internal.into());
        body.insert("Attachable".into(), spec.attachable.into());
        body.insert("EnableIPv6".into(), spec.ipv6.into());
        body.insert("Labels".into(), json!(spec.labels));
        body.insert("Options".into(), json!(spec.options));
        if !spec.subnets.is_empty() {
            let mut config: Vec<_> = spec.subnets.iter().map(|subnet| json!({ "Subnet": subnet })).collect();
            if let Some(range) = &spec.ip_range {
                config[0]["IPRange"] = range.as_str().into();
            }
            body.insert("IPAM".into(), json!({ "Config": config }));
        }
        let answer: Answer = self.json(&Call::post("/networks/create").json(&body)?.slow()).await?;
        Ok(answer.id)
    }

    /// Looks at a network by name or id. API: `GET /networks/{id}`.
    ///
    /// # Errors
    /// [`Error::NotFound`](super::Error::NotFound).
    pub async fn inspect_network(&self, network: &str) -> Result<Network> {
        self.json(&Call::get(network_path(network, "")?)).await
    }

    /// Lists networks. API: `GET /networks`.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn list_networks(&self, filters: &Filters) -> Result<Vec<Network>> {
        self.json(&Call::get("/networks").query_some("filters", filters.query())).await
    }

    /// Puts a container, running or not, into a network. API: `POST /networks/{id}/connect`.
    ///
    /// # Errors
    /// [`Error::NotFound`](super::Error::NotFound) for either. A container that is in it already is
    /// [`Error::Unauthorized`](super::Error::Unauthorized) in engines before 25 (they answer 403) and
    /// [`Error::Conflict`](super::Error::Conflict) in others: inspect it to know.
    pub async fn connect_network(&self, network: &str, container: &str, options: &ConnectOptions) -> Result<()> {
        let mut endpoint = Map::new();
        put(&mut endpoint, "Aliases", (!options.aliases.is_empty()).then_some(&options.aliases));
        if let Some(ip) = options.ip {
            endpoint.insert("IPAMConfig".into(), fixed(ip));
        }
        let body = json!({ "Container": container, "EndpointConfig": endpoint });
        self.transport.call(&Call::post(network_path(network, "/connect")?).json(&body)?.slow()).await.map(drop)
    }

    /// Takes a container out of a network. `force` also for one that is gone.
    /// API: `POST /networks/{id}/disconnect`.
    ///
    /// # Errors
    /// [`Error::NotFound`](super::Error::NotFound), [`Error::Conflict`](super::Error::Conflict) or
    /// [`Error::Unauthorized`](super::Error::Unauthorized) when it is not in it, by engine.
    pub async fn disconnect_network(&self, network: &str, container: &str, force: bool) -> Result<()> {
        let body = json!({ "Container": container, "Force": force });
        self.transport.call(&Call::post(network_path(network, "/disconnect")?).json(&body)?.slow()).await.map(drop)
    }

    /// Removes a network. API: `DELETE /networks/{id}`.
    ///
    /// # Errors
    /// [`Error::NotFound`](super::Error::NotFound); while containers are in it
    /// [`Error::Unauthorized`](super::Error::Unauthorized) (403).
    pub async fn remove_network(&self, network: &str) -> Result<()> {
        self.transport.call(&Call::delete(network_path(network, "")?).slow()).await.map(drop)
    }
}

fn network_path(network: &str, action: &str) -> Result<String> {
    Ok(format!("/networks/{}{action}", segment("network", network)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_lose_their_prefix() {
        let network: Network = serde_json::from_str(
            r#"{"Id":"x","IPAM":{"Config":[{"Subnet":"10.1.0.0/16","Gateway":"10.1.0.1"}]},
                "Containers":{"c":{"Name":"web","IPv4Address":"10.1.0.2/16"}}}"#,
        )
        .unwrap();
        assert_eq!(network.containers["c"].ip(), Some([10, 1, 0, 2].into()));
        assert_eq!(network.subnets().next(), Some("10.1.0.0/16"));
        assert_eq!(network.gateways().next(), Some([10, 1, 0, 1].into()));
    }

    #[test]
    fn a_network_without_address_management_is_read() {
        let network: Network = serde_json::from_str(r#"{"Id":"x","IPAM":{"Config":null},"Labels":null}"#).unwrap();
        assert_eq!(network.subnets().count(), 0);
    }
}
