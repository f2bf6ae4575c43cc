FROM rust:1.95-bookworm
WORKDIR /app
COPY . .
RUN cargo build --release
EXPOSE 10000
CMD ["./target/release/hello"]
