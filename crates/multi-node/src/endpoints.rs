//! Where a program is seen and steered from outside: opened before anything is started, attended to while it runs.

#[cfg(multi_process)]
use crate::admin::{Admin, Attendance, Journal};
use crate::options::Settings;
use crate::{Error, Handle};

/// What the options ask for, open and not attended to.
#[derive(Debug)]
pub(crate) struct Endpoints {
    #[cfg(multi_process)]
    admin: Admin,
}

impl Endpoints {
    /// Opens what the settings ask for; nothing is left open after an error.
    #[cfg_attr(not(multi_process), expect(unused_variables, clippy::unused_async, reason = "there is none to open"))]
    pub(crate) async fn open(settings: &Settings) -> Result<Endpoints, Error> {
        Ok(Endpoints {
            #[cfg(multi_process)]
            admin: Admin::open(settings).await?,
        })
    }

    /// Where the log is written for those who follow it.
    #[cfg(multi_process)]
    pub(crate) fn journal(&self) -> Journal {
        self.admin.journal()
    }

    /// Answers from now on.
    #[cfg_attr(not(multi_process), expect(unused_variables, clippy::needless_pass_by_value, reason = "nobody asks"))]
    pub(crate) fn attend(self, handle: Handle) -> Attended {
        Attended {
            #[cfg(multi_process)]
            admin: self.admin.attend(handle),
        }
    }
}

/// Endpoints that answer. They have to be closed before the program ends, so that nobody waits in vain.
pub(crate) struct Attended {
    #[cfg(multi_process)]
    admin: Attendance,
}

impl Attended {
    #[cfg_attr(not(multi_process), expect(clippy::unused_async, reason = "there is none to close"))]
    pub(crate) async fn close(self) {
        #[cfg(multi_process)]
        self.admin.close().await;
    }
}
