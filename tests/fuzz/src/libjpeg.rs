//! JPEG bytes → samples, by libjpeg-turbo.
#![allow(unsafe_code)]

/// Most samples of a picture.
const ROOM: usize = 3 << 18;

/// What libjpeg-turbo makes of a file.
pub(crate) struct Reference {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) channels: usize,
    pub(crate) samples: Vec<u8>,
    /// Damage that it met and went on behind.
    pub(crate) warnings: u64,
}

unsafe extern "C" {
    fn wsidx_libjpeg(
        bytes: *const u8,
        length: usize,
        out: *mut u8,
        room: usize,
        width: *mut u32,
        height: *mut u32,
        channels: *mut u32,
    ) -> std::ffi::c_long;
}

/// Decodes a file; `None` where it is refused, has four components or more than a quarter of a
/// million pixels.
pub(crate) fn decode(bytes: &[u8]) -> Option<Reference> {
    let mut samples = vec![0; ROOM];
    let (mut width, mut height, mut channels) = (0, 0, 0);
    // SAFETY: all pointers are to live memory of the lengths that are given, and nothing keeps
    // them.
    let warnings = unsafe {
        wsidx_libjpeg(bytes.as_ptr(), bytes.len(), samples.as_mut_ptr(), ROOM, &raw mut width, &raw mut height, &raw mut channels)
    };
    let warnings = u64::try_from(warnings).ok()?;
    let [width, height, channels] = [width, height, channels].map(|n| n as usize);
    samples.truncate(width * height * channels);
    Some(Reference { width, height, channels, samples, warnings })
}
