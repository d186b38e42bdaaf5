use super::*;
use crate::Error;

fn refused(options: Options) -> (&'static str, String) {
    match options.check(2) {
        Err(error @ Error::Option { option, .. }) => (option, error.to_string()),
        other => panic!("expected a refused option, got {other:?}"),
    }
}

#[test]
fn defaults_are_valid_and_take_the_cores() {
    let settings = Options::new().check(3).expect("defaults are valid");
    assert_eq!(settings.nodes, 3);
    assert_eq!(settings.addresses, [Address::Tcp { host: "0.0.0.0".into(), port: 80 }]);
    assert_eq!(settings.silence(), Some(Duration::from_secs(30)));
}

#[test]
fn every_wrong_value_names_its_option() {
    let second = Duration::from_secs(1);
    let wrong = [
        ("host", Options::new().host("not a host")),
        ("host", Options::new().host("")),
        ("bind", Options::new().bind("9090")),
        ("bind", Options::new().bind("not a host:80")),
        ("metrics", Options::new().metrics("9090")),
        ("metrics", Options::new().metrics("not a host:80")),
        ("bind", Options::new().bind("::1:80")),
        ("bind", Options::new().bind("unix:")),
        ("unix_mode", Options::new().unix_mode(0o1777)),
        ("backlog", Options::new().backlog(0)),
        ("nodes", Options::new().nodes(257)),
        ("max_nodes", Options::new().max_nodes(0)),
        ("backoff.longest", Options::new().backoff(second, Duration::ZERO)),
        ("backoff.longest", Options::new().backoff(second * 2, second)),
        ("crash_loop", Options::new().crash_loop(0, second)),
        ("crash_loop.within", Options::new().crash_loop(1, Duration::ZERO)),
        ("surge", Options::new().surge(1000)),
        ("surge", Options::new().surge(2).rolling(false)),
        ("settle", Options::new().settle(Duration::MAX)),
        ("start_timeout", Options::new().start_timeout(Duration::ZERO)),
        ("drain_timeout", Options::new().drain_timeout(Duration::MAX)),
        ("shutdown_delay", Options::new().shutdown_delay(Duration::MAX)),
        ("hang_timeout", Options::new().hang_timeout(Duration::from_millis(10))),
        ("canary", Options::new().canary(Duration::ZERO, CanaryLimits::new())),
        ("canary.min_requests", Options::new().canary(second, CanaryLimits::new().min_requests(0))),
        ("canary.margin", Options::new().canary(second, CanaryLimits::new().margin(-0.1))),
        ("canary", Options::new().canary(second, CanaryLimits::new()).surge(0)),
        ("max_requests", Options::new().max_requests(0)),
        ("max_age", Options::new().max_age(Duration::ZERO)),
        ("max_memory", Options::new().max_memory(0)),
        ("program", Options::new().program("")),
        ("env", Options::new().env("A=B", "c")),
        ("user", Options::new().user("")),
        ("user", Options::new().user("nobody").master_listen(true)),
        ("group", Options::new().group("nogroup").master_listen(true)),
        ("umask", Options::new().umask(0o1000)),
    ];
    for (name, options) in wrong {
        let (option, message) = refused(options);
        assert_eq!(option, name);
        assert!(message.starts_with(&format!("option `{name}`: ")), "{message}");
    }
}

#[test]
fn addresses_read_back_what_they_show() {
    for text in ["127.0.0.1:9090", "[::1]:9090", "localhost:0", "unix:/run/app.sock", "unix:relative.sock"] {
        assert_eq!(Address::parse("bind", text).expect(text).to_string(), text);
    }
    assert_eq!(Address::parse("bind", ":80").expect("port alone").to_string(), "0.0.0.0:80");
}

#[test]
fn variables_override_and_are_checked() {
    let set = |pairs: &'static [(&'static str, &'static str)]| {
        Options::new().with_variables(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    };
    let options = set(&[("PORT", "8080"), ("HOST", "::1"), ("NODES", "3")]).expect("all valid");
    assert_eq!((options.port, options.host.as_str(), options.nodes), (8080, "::1", Some(3)));
    assert_eq!(set(&[("NODES", "auto")]).expect("auto is the default").nodes, None);
    #[cfg(feature = "join")]
    {
        let join = |pairs| set(pairs).expect("checked later").join.map(|join| format!("{join:?}"));
        let joined = join(&[("JOIN", "nats://127.0.0.1"), ("MACHINE", "alpha")]).expect("set");
        assert!(joined.contains("nats://127.0.0.1") && joined.contains("alpha"), "{joined}");
        assert_eq!(join(&[("MACHINE", "alpha")]), None, "nothing to join");
        let error = set(&[("JOIN", "nats://bus-1")]).expect("read").check(1).expect_err("plaintext").to_string();
        assert!(error.contains("join") && error.contains("insecure_bus"), "{error}");
    }
    for (name, value) in [("PORT", "65536"), ("PORT", "http"), ("NODES", "-1"), ("NODES", "")] {
        let error = Options::new()
            .with_variables(|asked| (asked == name).then(|| value.to_owned()))
            .expect_err("not a number in range");
        assert!(matches!(error, Error::Option { option, .. } if option == name), "{error}");
    }
}
