//! Generates the wire types. protox compiles the schema in Rust, so that no `protoc` need be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=rehearsal.proto");
    let schema = protox::compile(["rehearsal.proto"], ["."])?;
    tonic_prost_build::configure()
        .emit_rerun_if_changed(false)
        // Ten times the size of the other words, which would all take its room.
        .boxed(".voteburst.v1.AgentMessage.body.snapshot")
        .compile_fds(schema)?;
    Ok(())
}
