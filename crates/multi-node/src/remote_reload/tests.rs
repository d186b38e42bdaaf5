use super::*;

#[test]
fn a_ticket_is_carried_out_once_however_often_it_comes() {
    let mut tickets = Tickets::default();
    assert_eq!(tickets.ask("a"), None, "it begins");
    assert_eq!(tickets.ask("a"), Some(Progress::Runs));
    let busy = Progress::Ended(Err(CommandError::Busy { running: "reload".to_owned() }));
    assert_eq!(tickets.ask("b"), Some(busy));
    tickets.end(Err(CommandError::SingleProcess));
    assert_eq!(tickets.ask("a"), Some(Progress::Ended(Err(CommandError::SingleProcess))));
    assert_eq!(tickets.ask("b"), None, "its turn");
}

#[test]
fn the_last_tickets_are_remembered() {
    let mut tickets = Tickets::default();
    for number in 0..=REMEMBERED {
        assert_eq!(tickets.ask(&number.to_string()), None);
        tickets.end(Err(CommandError::SingleProcess));
    }
    assert_eq!(tickets.ended.len(), REMEMBERED);
    assert!(tickets.ask("1").is_some());
}
