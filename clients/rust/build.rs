//! Generates the stubs. protox compiles the protos in Rust, so no protoc is needed.

use std::error::Error;

const PROTOS: &str = "../../protos";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTOS}");
    let files = ["spanqa/v1/question_answering.proto", "google/rpc/code.proto"];
    tonic_prost_build::configure()
        .build_server(false)
        .extern_path(".google.rpc.Status", "::tonic_types::Status")
        .compile_fds(protox::compile(files, [PROTOS])?)?;
    Ok(())
}
