//! What a container listens on, read from the kernel (proc(5), `/proc/PID/net/tcp`): works where the engine runs on this
//! machine and its processes can be seen; elsewhere nothing is found, and nothing is said.

use std::net::SocketAddr;

use sh0_core::model::Listener;

/// The listening TCP sockets in the network namespace of a process.
pub(super) fn listening(pid: u32) -> Vec<SocketAddr> {
    let read = |table: &str| std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
    let lines = read("tcp") + &read("tcp6");
    lines.lines().filter_map(Listener::parse).map(|listener| listener.addr).collect()
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
    fn reasons_say_what_to_do() {
        let on = |addrs: &[&str]| addrs.iter().map(|addr| addr.parse().unwrap()).collect::<Vec<SocketAddr>>();
        assert_eq!(explain(&on(&["0.0.0.0:8080"]), 8080), None);
        assert_eq!(explain(&on(&[]), 8080), None);
        assert!(explain(&on(&["127.0.0.1:8080"]), 8080).unwrap().contains("listen on 0.0.0.0"));
        assert!(explain(&on(&["0.0.0.0:3000"]), 8080).unwrap().contains("port 3000 instead"));
    }
}
