//! The system calls that the threads of a process sleep in, with their arguments (proc_pid_syscall(5)).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::Hidden;
use super::open::Open;

/// What a thread can wait for connections in (syscalls(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    Accept,
    Select,
    Poll,
}

#[cfg(target_arch = "x86_64")]
const CALLS: [(u64, Waits); 6] = [
    (43, Waits::Accept),
    (288, Waits::Accept),
    (23, Waits::Select),
    (270, Waits::Select),
    (7, Waits::Poll),
    (271, Waits::Poll),
];
/// As aarch64 and all younger architectures have it.
#[cfg(not(target_arch = "x86_64"))]
const CALLS: [(u64, Waits); 4] = [(202, Waits::Accept), (242, Waits::Accept), (72, Waits::Select), (73, Waits::Poll)];

/// No set of more descriptors than these is read.
const MOST: u64 = 1 << 16;

/// One thread's system call, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Call {
    waits: Waits,
    args: [u64; 2],
}

/// Whether a thread of the process waits for one of these sockets.
pub(super) fn waits_on(pid: u32, open: &Open, sockets: &BTreeSet<u64>) -> Result<bool, Hidden> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for thread in threads {
        let file = thread.path().join("syscall");
        match fs::read_to_string(&file) {
            Ok(line) if waits(pid, &file, &line, open, sockets) => return Ok(true),
            Ok(_) => {}
            Err(error) => match Hidden::by(pid, &error) {
                Some(hidden) => return Err(hidden),
                None => continue,
            },
        }
    }
    Ok(false)
}

fn waits(pid: u32, file: &Path, line: &str, open: &Open, sockets: &BTreeSet<u64>) -> bool {
    let Some(call) = Call::read(line) else { return false };
    let is_one = |number: u32| open.socket(number).is_some_and(|inode| sockets.contains(&inode));
    let waits =
        call.descriptors(|at, bytes| memory(pid, at, bytes)).is_ok_and(|numbers| numbers.into_iter().any(is_one));
    // The memory was read a moment later: the thread has to be where it was.
    waits && fs::read_to_string(file).is_ok_and(|now| now == line)
}

impl Call {
    /// `23 0x6 0x7ffd… …`: the number, then six arguments. A thread that does not sleep in a call shows no arguments.
    fn read(line: &str) -> Option<Call> {
        let mut words = line.split_whitespace();
        let number: u64 = words.next()?.parse().ok()?;
        let (_, waits) = CALLS.into_iter().find(|(waits, _)| *waits == number)?;
        let mut argument = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
        Some(Call { waits, args: [argument()?, argument()?] })
    }

    /// The descriptors from which connections are waited for. `memory` reads the process's memory: an address, and a number of bytes.
    fn descriptors(self, memory: impl FnOnce(u64, u64) -> io::Result<Vec<u8>>) -> io::Result<Vec<u32>> {
        let [first, second] = self.args;
        match self.waits {
            Waits::Accept => Ok(u32::try_from(first).into_iter().collect()),
            // nfds, and the set of those to be read from; the kernel reads whole words of it.
            Waits::Select if second == 0 => Ok(Vec::new()),
            Waits::Select => {
                let count = first.min(MOST);
                Ok(in_set(&memory(second, count.div_ceil(64) * 8)?, count))
            }
            // Pairs of a descriptor and events, and how many they are.
            Waits::Poll => Ok(polled(&memory(first, second.min(MOST) * 8)?)),
        }
    }
}

/// The members below `count` of a set of bits.
fn in_set(set: &[u8], count: u64) -> Vec<u32> {
    let is_in = |number: &u32| {
        let byte = set.get(*number as usize / 8).copied().unwrap_or_default();
        u64::from(*number) < count && byte >> (number % 8) & 1 == 1
    };
    (0..set.len() as u32 * 8).filter(is_in).collect()
}

/// The descriptors of an array of `struct pollfd` (poll(2)) that wait for input.
fn polled(array: &[u8]) -> Vec<u32> {
    const POLLIN: u8 = 1;
    let wanted = |entry: &&[u8; 8]| entry[4 + LOW] & POLLIN != 0;
    let number = |[a, b, c, d, ..]: &[u8; 8]| u32::try_from(i32::from_ne_bytes([*a, *b, *c, *d])).ok();
    let (entries, _) = array.as_chunks::<8>();
    entries.iter().filter(wanted).filter_map(number).collect()
}

/// Where the low byte of two is.
const LOW: usize = if cfg!(target_endian = "little") { 0 } else { 1 };

fn memory(pid: u32, at: u64, bytes: u64) -> io::Result<Vec<u8>> {
    let mut read = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
    File::open(format!("/proc/{pid}/mem"))?.read_exact_at(&mut read, at)?;
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call, its arguments, the memory that they point to, and the descriptors that it names.
    type Case<'a> = (Waits, [u64; 2], &'a [u8], &'a [u32]);

    fn number(waits: Waits) -> u64 {
        CALLS.into_iter().find(|call| call.1 == waits).expect("it is there").0
    }

    #[test]
    fn a_line_is_a_call_with_its_arguments() {
        let line = format!("{} 0x6 0x7ffd00 0x0 0x0 0x0 0x0 0x7ffc00 0x7f1234\n", number(Waits::Select));
        assert_eq!(Call::read(&line), Some(Call { waits: Waits::Select, args: [6, 0x7ffd00] }));
        let others = ["running\n", "-1 0x7ffc00 0x7f1234\n", "0 0x3 0x7ffd00 0x10 0x0 0x0 0x0 0x1 0x2\n", ""];
        assert_eq!(others.map(Call::read), [None; 4]);
    }

    #[test]
    fn each_call_names_descriptors_in_its_own_way() {
        let set = [0b1010_0000_u8, 0b0000_0100, 0, 0, 0, 0, 0, 0];
        let poll = |number: i32, events: i16| {
            let [a, b, c, d] = number.to_ne_bytes();
            let [e, f] = events.to_ne_bytes();
            [a, b, c, d, e, f, 0, 0]
        };
        let array = [poll(3, 1), poll(4, 4), poll(-1, 1), poll(9, 0x41)].concat();
        let cases: [Case<'_>; 5] = [
            (Waits::Accept, [7, 0], &[], &[7]),
            (Waits::Select, [11, 0x1000], &set, &[5, 7, 10]),
            (Waits::Select, [10, 0x1000], &set, &[5, 7]),
            (Waits::Select, [10, 0], &[], &[]),
            (Waits::Poll, [0x1000, 4], &array, &[3, 9]),
        ];
        for (waits, args, bytes, expected) in cases {
            let memory = |at, count| {
                assert_eq!((at, count), (0x1000, bytes.len() as u64), "{waits:?}");
                Ok(bytes.to_vec())
            };
            assert_eq!(Call { waits, args }.descriptors(memory).expect("read"), expected, "{waits:?} {args:?}");
        }
    }

    #[test]
    fn no_count_that_a_process_gives_makes_us_read_without_end() {
        let most = |waits, args| {
            Call { waits, args }.descriptors(|_, bytes| {
                assert!(bytes <= MOST * 8);
                Err(io::ErrorKind::Other.into())
            })
        };
        assert!(most(Waits::Select, [u64::MAX, 1]).is_err());
        assert!(most(Waits::Poll, [1, u64::MAX]).is_err());
    }
}
