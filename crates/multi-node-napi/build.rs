//! Links the library as an addon, whose symbols Node.js has.

fn main() {
    napi_build::setup();
    // Three quarters of what is published would be for debuggers.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,--strip-debug");
    }
}
