//! Builds the bridge to libjpeg-turbo where it is wanted.

fn main() {
    println!("cargo::rerun-if-changed=libjpeg.c");
    #[cfg(feature = "libjpeg-turbo")]
    {
        cc::Build::new().file("libjpeg.c").compile("wsidx_libjpeg");
        println!("cargo::rustc-link-lib=jpeg");
    }
}
