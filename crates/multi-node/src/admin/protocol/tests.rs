use super::*;

#[test]
fn requests_are_json_or_a_word() {
    let parse = |text: &str| Request::parse(text.as_bytes());
    assert_eq!(parse("status"), Ok(Request::Status));
    assert_eq!(parse("  reload \r\n"), Ok(Request::Reload { wait: true, now: false }));
    assert_eq!(parse(r#"{"command":"scale","by":-1}"#), Ok(Request::Scale { nodes: None, by: Some(-1) }));
    assert_eq!(parse("stop"), Ok(Request::Stop { now: false }));
    let logs = Request::Logs { slot: Some(Slot(2)), lines: 100, follow: true };
    assert_eq!(parse(r#"{"command":"logs","slot":2,"follow":true,"later":1}"#), Ok(logs));
}

#[test]
fn what_is_no_request_is_refused_with_the_reason() {
    for text in
        ["", "{}", "[]", "7", "rm", "{\"command\":\"rm\"}", "{\"command\":\"scale\",\"nodes\":-1}", "\u{0}\u{7f}"]
    {
        let refusal = Request::parse(text.as_bytes()).expect_err(text);
        assert_eq!(refusal.code, "bad_request", "{text:?}");
    }
    let why = Request::parse(b"relaod").expect_err("a typo").why;
    assert!(why.contains("`relaod` is not known; expected one of `describe`, `status`"), "{why}");
}

#[test]
fn no_reason_names_a_type() {
    let requests = [
        "7",
        "[]",
        "{}",
        "{\"command\":\"scale\",\"nodes\":1.5}",
        "{\"command\":\"scale\",\"nodes\":-1}",
        "{\"command\":\"signal\"}",
        "{\"command\":\"stop\",\"now\":1}",
        "{\"command\":\"restart\",\"slot\":\"a\"}",
    ];
    for text in requests {
        let why = Request::parse(text.as_bytes()).expect_err(text).why;
        for word in ["usize", "u16", "u32", "i64", "enum ", "struct ", "variant", "invalid type", "at line"] {
            assert!(!why.contains(word), "{text}: {why}");
        }
    }
}

#[test]
fn answers_of_a_later_release_are_passed_over_and_what_is_no_answer_is_not() {
    let parse = |text: &str| Answer::parse(text.as_bytes());
    assert_eq!(parse(r#"{"progress":{"done":3}}"#).expect("an answer"), None);
    assert_eq!(parse(r#"{"ok":7}"#).expect("an answer"), Some(Answer::Ok(7.into())));
    assert_eq!(parse(r#"{"refused":{"code":"a","why":"b","hint":"c"}}"#).map(|it| it.is_some()).ok(), Some(true));
    for text in ["7", "[]", "{}", r#"{"failed":7}"#, r#"{"a":1,"b":2}"#, "HTTP/1.1 200 OK"] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn the_highest_common_version_is_agreed_upon() {
    let client = |lowest, highest| Greeting::to(ProtocolVersions { lowest, highest }).version;
    assert_eq!((client(1, 1), client(1, 9), client(2, 9)), (Some(1), Some(1), None));
    let hello =
        Request::parse(br#"{"command":"hello","versions":{"lowest":1,"highest":9,"mood":1},"capabilities":["x"]}"#);
    let versions = ProtocolVersions { lowest: 1, highest: 9 };
    assert_eq!(hello, Ok(Request::Hello { versions, capabilities: vec!["x".to_owned()] }));
    assert!(matches!(Request::parse(b"hello"), Ok(Request::Hello { .. })));
}

#[test]
fn a_request_reads_back_what_it_writes() {
    let signal = Request::Signal { signal: "USR1".to_owned(), slot: Some(Slot(1)) };
    for request in [Request::Watch, Request::Stop { now: true }, signal] {
        let line = serde_json::to_vec(&request).expect("JSON");
        assert_eq!(Request::parse(&line), Ok(request));
    }
}
