//! What a command asked of its stores: in every JSON document, and as a line under `-v`.

use dagset::base::{Counter, Observer};
use serde::Serialize;

use super::ui;

/// Requests to all stores by verb (each try, each page of a list), and the bytes of their bodies.
#[derive(Serialize)]
pub struct Cost {
    requests: Requests,
    sent_bytes: u64,
    received_bytes: u64,
}

#[derive(Serialize)]
struct Requests {
    get: u64,
    put: u64,
    list: u64,
    head: u64,
    delete: u64,
}

impl Cost {
    /// What was counted until now.
    pub fn of(observer: &Observer) -> Cost {
        Cost {
            requests: Requests {
                get: observer.get(Counter::Gets),
                put: observer.get(Counter::Puts),
                list: observer.get(Counter::Lists),
                head: observer.get(Counter::Heads),
                delete: observer.get(Counter::Deletes),
            },
            sent_bytes: observer.get(Counter::SentBytes),
            received_bytes: observer.get(Counter::ReceivedBytes),
        }
    }

    /// `12 requests (9 get, 3 put), sent 3.1 MB, received 12.0 kB`; `None` where no store was asked.
    pub fn line(&self) -> Option<String> {
        let Requests { get, put, list, head, delete } = self.requests;
        let verbs = [(get, "get"), (put, "put"), (list, "list"), (head, "head"), (delete, "delete")];
        let asked: Vec<_> = verbs.into_iter().filter(|(count, _)| *count > 0).collect();
        let by_verb: Vec<_> = asked.iter().map(|(count, verb)| format!("{} {verb}", ui::number(*count))).collect();
        let all = ui::count(asked.iter().map(|(count, _)| count).sum(), "request");
        let (sent, received) = (ui::size(self.sent_bytes), ui::size(self.received_bytes));
        (!asked.is_empty()).then(|| format!("{all} ({}), sent {sent}, received {received}", by_verb.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_only_what_was_asked() {
        let observer = Observer::new();
        assert_eq!(Cost::of(&observer).line(), None);
        observer.add(Counter::Gets, 9);
        observer.add(Counter::Puts, 1003);
        observer.add(Counter::SentBytes, 3_100_000);
        let line = Cost::of(&observer).line();
        assert_eq!(line.as_deref(), Some("1,012 requests (9 get, 1,003 put), sent 3.1 MB, received 0 B"));
    }
}
