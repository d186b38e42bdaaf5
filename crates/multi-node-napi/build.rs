//! Links the library as an addon, whose symbols Node.js has.

fn main() {
    napi_build::setup();
}
