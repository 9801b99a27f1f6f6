/* JPEG bytes -> interleaved samples, by libjpeg-turbo: grey as one, colour as RGB. */
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <jpeglib.h>

struct failure {
    struct jpeg_error_mgr manager;
    jmp_buf back;
};

static void fail(j_common_ptr common) { longjmp(((struct failure *)common->err)->back, 1); }
static void quiet(j_common_ptr common) { (void)common; }
static void count(j_common_ptr common, int level) {
    if (level < 0) common->err->num_warnings++;
}

/* Gives the number of warnings, or -1 for a file that is refused, or of four components, or has more samples than there is room for. */
long wsidx_libjpeg(const unsigned char *bytes, size_t length, unsigned char *out, size_t room, unsigned *width, unsigned *height,
                   unsigned *channels) {
    struct jpeg_decompress_struct decoder;
    struct failure failure;
    long warnings;
    decoder.err = jpeg_std_error(&failure.manager);
    failure.manager.error_exit = fail;
    failure.manager.output_message = quiet;
    failure.manager.emit_message = count;
    jpeg_create_decompress(&decoder);
    if (setjmp(failure.back)) {
        jpeg_destroy_decompress(&decoder);
        return -1;
    }
    jpeg_mem_src(&decoder, bytes, length);
    jpeg_read_header(&decoder, TRUE);
    *width = decoder.image_width;
    *height = decoder.image_height;
    *channels = decoder.num_components == 1 ? 1 : 3;
    if (decoder.num_components == 4 || (size_t)*width * *height * *channels > room) {
        jpeg_destroy_decompress(&decoder);
        return -1;
    }
    decoder.out_color_space = *channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    decoder.dct_method = JDCT_ISLOW;
    /* Coefficients that a progressive file never refines are not guessed; other decoders do not guess them either. */
    decoder.do_block_smoothing = FALSE;
    jpeg_start_decompress(&decoder);
    while (decoder.output_scanline < decoder.output_height) {
        JSAMPROW row = out + (size_t)decoder.output_scanline * *width * *channels;
        jpeg_read_scanlines(&decoder, &row, 1);
    }
    jpeg_finish_decompress(&decoder);
    warnings = failure.manager.num_warnings;
    jpeg_destroy_decompress(&decoder);
    return warnings;
}
