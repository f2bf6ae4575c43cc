//! Prints the OpenAPI document: `cargo run -p sh0-server --example openapi > openapi.json`.
#![allow(clippy::print_stdout)]

fn main() {
    println!("{:#}", sh0_server::openapi());
}
