use super::super::series::BOUNDS;
use super::*;

const FIRST: NodeId = NodeId::MASTER;

fn second() -> NodeId {
    NodeId::node(2)
}

fn series(name: &str, label: &str, measured: Measured) -> Series {
    Series { name: name.to_owned(), labels: vec![("route".to_owned(), label.to_owned())], help: None, measured }
}

fn text(aggregator: &Aggregator) -> String {
    let mut text = Exposition::default();
    aggregator.write(&mut text);
    text.into_text()
}

#[test]
fn counters_and_histograms_are_summed_over_nodes() {
    let mut aggregator = Aggregator::default();
    let buckets = |first, last| {
        let mut buckets = vec![0; BOUNDS.len() + 1];
        (buckets[0], buckets[BOUNDS.len()]) = (first, last);
        Measured::Histogram { buckets, sum: 0.5, bounds: None }
    };
    aggregator.absorb(FIRST, vec![series("jobs.done", "/", Measured::Counter { more: 3.0 })]);
    aggregator.absorb(second(), vec![series("jobs.done", "/", Measured::Counter { more: 4.0 })]);
    aggregator.absorb(FIRST, vec![series("seconds", "/", buckets(2, 0))]);
    aggregator.absorb(second(), vec![series("seconds", "/", buckets(1, 5))]);
    aggregator.keep(&BTreeSet::new());
    let text = text(&aggregator);
    for line in [
        "# TYPE jobs_done counter",
        "jobs_done{route=\"/\"} 7",
        "seconds_bucket{route=\"/\",le=\"0.005\"} 3",
        "seconds_bucket{route=\"/\",le=\"10\"} 3",
        "seconds_bucket{route=\"/\",le=\"+Inf\"} 8",
        "seconds_sum{route=\"/\"} 1",
        "seconds_count{route=\"/\"} 8",
    ] {
        assert!(text.lines().any(|said| said == line), "{line} is not in\n{text}");
    }
}

#[test]
fn gauges_follow_their_rule_and_end_with_their_node() {
    let gauge = |name: &str, value| series(name, "/", Measured::Gauge { value, rule: None });
    let rules = [GaugeAggregation::Max, GaugeAggregation::Min, GaugeAggregation::Mean];
    let mut aggregator = Aggregator::new(["a", "b", "c"].map(str::to_owned).into_iter().zip(rules).collect());
    for (node, value) in [(FIRST, 1.0), (second(), 4.0)] {
        aggregator.absorb(node, ["a", "b", "c", "d"].map(|name| gauge(name, value)).to_vec());
    }
    let values = |aggregator: &Aggregator| {
        let text = text(aggregator);
        let value =
            |name| text.lines().find_map(|line| line.strip_prefix(&format!("{name}{{route=\"/\"}} "))?.parse().ok());
        ["a", "b", "c", "d"].map(value)
    };
    assert_eq!(values(&aggregator), [Some(4.0), Some(1.0), Some(2.5), Some(5.0)]);
    aggregator.keep(&BTreeSet::from([FIRST]));
    assert_eq!(values(&aggregator), [Some(1.0); 4]);
    aggregator.keep(&BTreeSet::new());
    assert_eq!((values(&aggregator), aggregator.series, aggregator.samples), ([None::<f64>; 4], 0, 0));
}

#[test]
fn gauges_follow_what_the_program_says_where_the_options_do_not() {
    let mut aggregator = Aggregator::new(vec![("a".to_owned(), GaugeAggregation::Max)]);
    let gauge = |name: &str, value, rule| series(name, "/", Measured::Gauge { value, rule: Some(rule) });
    for (node, value) in [(second(), 4.0), (FIRST, 1.0)] {
        let told = [("a", GaugeAggregation::Omit), ("b", GaugeAggregation::First), ("c", GaugeAggregation::Omit)];
        aggregator.absorb(node, told.map(|(name, rule)| gauge(name, value, rule)).to_vec());
    }
    let said = text(&aggregator);
    assert!(
        said.contains("a{route=\"/\"} 4\n") && said.contains("b{route=\"/\"} 1\n") && !said.contains("\nc"),
        "{said}"
    );
    aggregator.absorb(FIRST, vec![series("b", "/", Measured::Gone)]);
    assert!(text(&aggregator).contains("b{route=\"/\"} 4\n"));
    aggregator.absorb(second(), vec![series("b", "/", Measured::Gone), series("none", "/", Measured::Gone)]);
    assert!(!text(&aggregator).contains("b{"));
    assert_eq!((aggregator.series, aggregator.left_out), (2, 0));
}

#[test]
fn fractions_own_buckets_and_summaries_are_summed_too() {
    let mut aggregator = Aggregator::default();
    let buckets = |first| Measured::Histogram { buckets: vec![first, 1], sum: 0.5, bounds: Some(vec![0.25]) };
    for node in [FIRST, second()] {
        let told = [
            series("bytes", "a\"b\n", Measured::Counter { more: 0.25 }),
            series("seconds", "/", buckets(2)),
            series("sizes", "/", Measured::Summary { count: 2, sum: 1.5 }),
        ];
        let told = told.map(|series| Series { help: Some(format!("Help of {}.", series.name)), ..series });
        assert_eq!(aggregator.absorb(node, told.to_vec()), []);
    }
    let said = text(&aggregator);
    let expected = "\
# HELP bytes Help of bytes.
# TYPE bytes counter
bytes{route=\"a\\\"b\\n\"} 0.5
# HELP seconds Help of seconds.
# TYPE seconds histogram
seconds_bucket{route=\"/\",le=\"0.25\"} 4
seconds_bucket{route=\"/\",le=\"+Inf\"} 6
seconds_sum{route=\"/\"} 1
seconds_count{route=\"/\"} 6
# HELP sizes Help of sizes.
# TYPE sizes summary
sizes_sum{route=\"/\"} 3
sizes_count{route=\"/\"} 4
";
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn what_does_not_fit_is_left_out_and_counted() {
    let mut aggregator = Aggregator::default();
    let counter = |name: &str, label: &str| series(name, label, Measured::Counter { more: 1.0 });
    for wrong in [
        counter("multi_node_requests_total", "/"),
        counter("", "/"),
        counter("multi.node_requests_total", "/"),
        counter("long", &"x".repeat(LONGEST)),
        series("bytes", "/", Measured::Counter { more: -1.0 }),
        series("bytes", "/", Measured::Counter { more: f64::NAN }),
        series("seconds", "/", Measured::Histogram { buckets: vec![1], sum: 1.0, bounds: None }),
    ] {
        aggregator.absorb(FIRST, vec![wrong]);
    }
    aggregator
        .absorb(FIRST, vec![counter("jobs", "/"), series("jobs", "/", Measured::Gauge { value: 1.0, rule: None })]);
    assert_eq!(aggregator.left_out, 8, "one name has one kind");
    let seconds = Measured::Histogram { buckets: vec![1, 0], sum: 1.0, bounds: Some(vec![1.0]) };
    aggregator.absorb(FIRST, vec![counter("seconds_count", "/"), series("seconds", "/", seconds)]);
    assert_eq!(aggregator.left_out, 9, "each sample is of one metric");
    let many = (0..MOST_SERIES + 10).map(|number| counter("many", &number.to_string()));
    aggregator.absorb(FIRST, many.collect());
    assert!(aggregator.series == MOST_SERIES && aggregator.left_out > 11);
    aggregator.absorb(FIRST, vec![counter("many", "1")]);
    assert!(text(&aggregator).contains("many{route=\"1\"} 2\n"), "those that are kept go on");
}
