use super::*;

#[test]
fn a_line_is_what_its_writer_made_it() {
    let table = LoadTable::on_heap(4);
    let line = table.line(2).expect("there are four");
    line.begin_serving(5000);
    line.opened(5000);
    line.opened(5000);
    line.request_began();
    line.request_began();
    line.request_ended();
    assert_eq!(line.closed(), 1);
    assert_eq!(table.counts(2), Counts { open: 1, accepted: 2, requests: 2, in_flight: 1, skipped: 0 });
    let mut views = Vec::new();
    table.look(5000, &mut views);
    let expected = View { serving: true, open: 1, recent: 2, accepted: 2, ..View::default() };
    assert_eq!(views, [View::default(), View::default(), expected], "the fourth line was never taken");
    table.look(5000 + FRESH_MS + 1, &mut views);
    assert!(!views[2].serving, "its heart does not beat");
}

#[test]
fn flags_do_not_touch_each_other() {
    let table = LoadTable::local();
    let line = table.line(0).expect("there is one");
    line.begin_serving(0);
    line.set_late(true);
    line.set_asleep(true);
    line.set_late(false);
    let mut views = Vec::new();
    table.look(0, &mut views);
    assert_eq!((views[0].serving, views[0].late, views[0].asleep), (true, false, true));
}

#[test]
fn a_closed_line_keeps_its_counts_until_it_is_cleared() {
    let table = LoadTable::on_heap(2);
    let line = table.line(0).expect("there are two");
    line.begin_serving(1);
    line.opened(1);
    line.request_began();
    line.request_failed();
    line.request_cut();
    assert_eq!(table.faults(0), Faults { errors: 1, aborted: 1 });
    let counts = Counts { open: 0, accepted: 1, requests: 1, in_flight: 0, skipped: 0 };
    assert_eq!(table.close(0), counts);
    assert_eq!(table.counts(0), counts);
    table.clear(0);
    assert_eq!((table.counts(0), table.faults(0)), (Counts::default(), Faults::default()));
    let mut views = Vec::new();
    table.look(1, &mut views);
    assert_eq!(views, [View::default()]);
}

#[test]
fn what_was_recent_is_forgotten_for_all_lines() {
    let table = LoadTable::on_heap(3);
    let recent = || {
        let mut views = Vec::new();
        table.look(5000, &mut views);
        views.iter().map(|view| view.recent).collect::<Vec<_>>()
    };
    let [first, second, fresh] = [0, 1, 2].map(|index| table.line(index).expect("there are three"));
    first.begin_serving(5000);
    second.begin_serving(5000);
    (0..9).for_each(|_| first.opened(5000));
    second.opened(5000);
    assert_eq!(recent(), [9, 1, 0]);
    fresh.begin_serving(5000);
    assert_eq!(recent(), [9, 1, 5], "as many as the others had");
    table.forget_recent();
    assert_eq!(recent(), [0, 0, 0]);
    second.opened(5000);
    assert_eq!(recent(), [0, 1, 0]);
    table.close(0);
    table.clear(0);
    first.begin_serving(5000);
    assert_eq!(recent(), [0, 1, 0], "half of one");
}

#[test]
fn lines_that_are_not_there() {
    let table = LoadTable::on_heap(2);
    assert!(table.line(2).is_none());
    assert_eq!(table.counts(2), Counts::default());
    table.clear(7);
    assert_eq!(table.close(7), Counts::default());
}

#[test]
fn writers_on_many_threads_lose_nothing() {
    let table = LoadTable::local();
    let line = table.line(0).expect("there is one");
    let rounds = if cfg!(miri) { 20 } else { 5000 };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..rounds {
                    line.opened(10);
                    line.request_began();
                    line.request_ended();
                    line.closed();
                }
            });
        }
    });
    let all = 4 * rounds;
    assert_eq!(table.counts(0), Counts { open: 0, accepted: all, requests: all, in_flight: 0, skipped: 0 });
}

#[cfg(all(multi_process, not(miri)))]
mod mapped {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

    use super::*;

    #[test]
    fn both_ends_see_one_table() {
        let (table, file) = LoadTable::create(64).expect("a memfd can be made");
        let other = LoadTable::open(file.try_clone().expect("dup")).expect("it is a table");
        assert_eq!((table.lines(), other.lines()), (64, 64));
        other.line(63).expect("there are 64").opened(1);
        assert_eq!(table.counts(63).open, 1);
        drop(table);
        assert_eq!(other.counts(63).open, 1);
    }

    #[test]
    fn the_table_cannot_be_cut_short() {
        let (_table, file) = LoadTable::create(4).expect("a memfd can be made");
        assert!(ftruncate(&file, 0).is_err());
        assert!(ftruncate(&file, 1 << 16).is_err());
    }

    #[test]
    fn other_files_are_refused() {
        let plain = |bytes, seals| {
            let file = memfd_create("other", MemfdFlags::ALLOW_SEALING).expect("a memfd can be made");
            ftruncate(&file, bytes).expect("it can be sized");
            fcntl_add_seals(&file, seals).expect("it can be sealed");
            LoadTable::open(file).expect_err("it is no table").to_string()
        };
        let size = SealFlags::SHRINK | SealFlags::GROW;
        assert_eq!(plain(4096, SealFlags::empty()), "the load table can be resized");
        assert_eq!(plain(64, size), "the load table has a wrong size");
        assert_eq!(plain(1 << 30, size), "the load table has a wrong size");
        assert_eq!(plain(4096, size), "the file is no load table of this version");
    }
}
