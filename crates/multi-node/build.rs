//! Sets `cfg(multi_process)` where nodes can be started as processes of their own: on Linux, unless
//! `RUSTFLAGS="--cfg multi_node_single"` asks for the single-process build that other systems get.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(multi_process)");
    println!("cargo::rustc-check-cfg=cfg(multi_node_single)");
    println!("cargo::rustc-check-cfg=cfg(fuzzing)"); // set by cargo-fuzz
    let linux = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    let single = std::env::var_os("CARGO_CFG_MULTI_NODE_SINGLE").is_some();
    if linux && !single {
        println!("cargo::rustc-cfg=multi_process");
    }
}
