use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A socket that waits for TCP connections, as the kernel lists it (proc(5), `/proc/PID/net/tcp` and `tcp6`). For runtimes
/// that say why nobody reaches an app.
///
/// ```
/// use sh0_core::model::Listener;
/// let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000  0 4711 1";
/// # if cfg!(target_endian = "little") {
/// assert_eq!(Listener::parse(line), Some(Listener { addr: "127.0.0.1:8080".parse()?, inode: 4711 }));
/// # }
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens; an IPv4 address in an IPv6 socket is an IPv4 address.
    pub addr: SocketAddr,
    /// The socket, as in the links of `/proc/PID/fd`.
    pub inode: u64,
}

impl Listener {
    /// Reads a line: `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode`, address and port in
    /// hexadecimal, the address in words of host order. `None` when it is no socket, or one that does not listen.
    pub fn parse(line: &str) -> Option<Listener> {
        /// `TCP_LISTEN` in the kernel's `tcp_states.h`.
        const LISTEN: &str = "0A";
        let mut words = line.split_ascii_whitespace().skip(1);
        let (local, state) = (words.next()?, words.nth(1)?);
        if state != LISTEN {
            return None;
        }
        let (ip, port) = local.split_once(':')?;
        let addr = SocketAddr::new(address(ip)?, u16::from_str_radix(port, 16).ok()?);
        Some(Listener { addr, inode: words.nth(5)?.parse().ok()? })
    }
}

fn address(hex: &str) -> Option<IpAddr> {
    let mut bytes = Vec::with_capacity(16);
    for at in (0..hex.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(v4) => Some(Ipv4Addr::from(v4).into()),
        Err(_) => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?).to_canonical()),
    }
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel() {
        let rest = "00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0";
        let cases = [
            ("0100007F:1F90 00000000:0000 0A", Some("127.0.0.1:8080")),
            ("00000000:0050 00000000:0000 0A", Some("0.0.0.0:80")),
            ("00000000:0050 00000000:0000 01", None),
            ("00000000000000000000000001000000:0BB8 00000000000000000000000000000000:0000 0A", Some("[::1]:3000")),
            ("00000000000000000000000000000000:0BB8 00000000000000000000000000000000:0000 0A", Some("[::]:3000")),
            ("0000000000000000FFFF00000100007F:0BB8 00000000000000000000000000000000:0000 0A", Some("127.0.0.1:3000")),
            ("01:zz 0 0A", None),
            ("000000:0050 00000000:0000 0A", None),
            ("\u{fc}000000:0050 00000000:0000 0A", None),
        ];
        for (start, expected) in cases {
            let found = Listener::parse(&format!("   0: {start} {rest}"));
            let expected = expected.and_then(|addr| addr.parse().ok());
            assert_eq!(found, expected.map(|addr| Listener { addr, inode: 4711 }), "{start}");
        }
        for line in ["", "  sl  local_address rem_address   st tx_queue", "   0: 00000000:0050 00000000:0000 0A 0:0"] {
            assert_eq!(Listener::parse(line), None, "{line}");
        }
    }
}
