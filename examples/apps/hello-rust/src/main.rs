//! Nothing but the standard library: a thread a connection, one answer each. SIGTERM simply ends it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::{env, thread};

fn var(name: &str, otherwise: &str) -> String {
    env::var(name).unwrap_or_else(|_| otherwise.to_owned())
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let head = BufReader::new(stream.try_clone()?).lines();
    for line in head {
        if line?.is_empty() {
            break;
        }
    }
    let body = format!("{} (Rust)\n", var("GREETING", "Hello from sh0"));
    let (length, release) = (body.len(), var("SH0_RELEASE", ""));
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n\
         x-release: {release}\r\nconnection: close\r\n\r\n{body}"
    )
}

fn main() -> std::io::Result<()> {
    let address = format!("0.0.0.0:{}", var("PORT", "8080"));
    let listener = TcpListener::bind(&address)?;
    println!("listening on {address}");
    for stream in listener.incoming().flatten() {
        thread::spawn(move || answer(stream));
    }
    Ok(())
}
