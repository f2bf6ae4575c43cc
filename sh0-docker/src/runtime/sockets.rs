//! What a container listens on, read from the kernel (proc(5), `/proc/PID/net/tcp`): works where the engine runs on this
//! machine and its processes can be seen; elsewhere nothing is found, and nothing is said.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `TCP_LISTEN` in the kernel's `tcp_states.h`.
const LISTEN: &str = "0A";

/// The listening TCP sockets in the network namespace of a process.
pub(super) fn listening(pid: u32) -> Vec<SocketAddr> {
    let read = |table: &str| std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
    [read("tcp"), read("tcp6")].iter().flat_map(|table| table.lines().filter_map(parse)).collect()
}

/// One line: `sl local_address rem_address st ...`, address and port in hexadecimal, the address in words of host order.
fn parse(line: &str) -> Option<SocketAddr> {
    let mut words = line.split_whitespace().skip(1);
    let (local, state) = (words.next()?, words.nth(1)?);
    if state != LISTEN {
        return None;
    }
    let (addr, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::with_capacity(16);
    for at in (0..addr.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(addr.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let ip: IpAddr = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(v4) => Ipv4Addr::from(v4).into(),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?).to_canonical(),
    };
    Some(SocketAddr::new(ip, port))
}

/// Why nobody outside reaches `port`, when that can be seen.
pub(super) fn explain(listening: &[SocketAddr], port: u16) -> Option<String> {
    let on_port = |addr: &&SocketAddr| addr.port() == port;
    if listening.iter().filter(on_port).any(|addr| !addr.ip().is_loopback()) {
        return None;
    }
    if let Some(addr) = listening.iter().find(on_port) {
        return Some(format!(
            "it listens on {addr} only, which nothing outside its container reaches; listen on 0.0.0.0"
        ));
    }
    let others: Vec<String> =
        listening.iter().filter(|addr| !addr.ip().is_loopback()).map(|addr| addr.port().to_string()).collect();
    match others.is_empty() {
        true => None,
        false => Some(format!(
            "it listens on port {} instead; listen on the port in the variable PORT, or set the app's port",
            others.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel() {
        let cases = [
            (
                "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1",
                Some("127.0.0.1:8080"),
            ),
            ("   1: 00000000:0050 00000000:0000 0A 00000000:00000000", Some("0.0.0.0:80")),
            ("   1: 00000000:0050 00000000:0000 01 00000000:00000000", None),
            (
                "   0: 00000000000000000000000001000000:0BB8 00000000000000000000000000000000:0000 0A 0:0",
                Some("[::1]:3000"),
            ),
            (
                "   0: 00000000000000000000000000000000:0BB8 00000000000000000000000000000000:0000 0A 0:0",
                Some("[::]:3000"),
            ),
            ("  sl  local_address rem_address   st tx_queue", None),
            ("", None),
            ("   0: 01:zz 0 0A", None),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line), expected.map(|addr| addr.parse().unwrap()), "{line}");
        }
    }

    #[test]
    fn reasons_say_what_to_do() {
        let on = |addrs: &[&str]| addrs.iter().map(|addr| addr.parse().unwrap()).collect::<Vec<SocketAddr>>();
        assert_eq!(explain(&on(&["0.0.0.0:8080"]), 8080), None);
        assert_eq!(explain(&on(&[]), 8080), None);
        assert!(explain(&on(&["127.0.0.1:8080"]), 8080).unwrap().contains("listen on 0.0.0.0"));
        assert!(explain(&on(&["0.0.0.0:3000"]), 8080).unwrap().contains("port 3000 instead"));
    }
}
