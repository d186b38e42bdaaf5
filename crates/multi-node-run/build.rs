//! Sets `cfg(multi_process)` where nodes can be started as processes of their own: on Linux, unless
//! `RUSTFLAGS="--cfg multi_node_single"` asks for the single-process build that other systems get.
//! Where a wrapper of rustc gives that flag, cargo does not know of it, but this file is compiled with it too.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let linux = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    let single = cfg!(multi_node_single) || std::env::var_os("CARGO_CFG_MULTI_NODE_SINGLE").is_some();
    if linux && !single {
        println!("cargo::rustc-cfg=multi_process");
    }
}
