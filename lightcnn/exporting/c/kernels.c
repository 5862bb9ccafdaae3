/*
 * Kernels of quantized networks: integers only, no heap, no library. The same text for all networks; the part before
 * it says which kernels the network uses.
 *
 * A tensor is int8 (height, width, channels), channels contiguous, in the arena. A code c stands for the number
 * scale * (c - zero). Layers run one after the other, and each computes its output pixel by pixel.
 *
 * Constants of a layer in model_words: bias and multiplier of each output channel; or the multipliers of an operator.
 * In model_bytes: the table of the activation, if any, the shift of each multiplier, and the weights: of each output
 * channel (rows, columns, channels), or of a depthwise convolution (rows, columns, channels).
 */

typedef struct {
    uint32_t input, other, output;                  /* first bytes in the arena; other: the second operand */
    uint32_t words, bytes;                          /* first constants in model_words and in model_bytes */
    uint16_t height, width, channels;               /* of the input */
    uint16_t out_height, out_width, out_channels;
    uint16_t kernel_height, kernel_width, stride, groups;
    uint8_t operator, padding, has_table;
    int8_t zero, other_zero, out_zero, low, high;   /* low, high: the smallest and the largest code before the table */
} Layer;

/* The cells of the input under the kernel: rows first_row to last_row - 1 of the kernel, and columns likewise. */
typedef struct {
    const int8_t *input;                            /* the first cell */
    int32_t first_row, last_row, first_column, last_column;
    int32_t pitch;                                  /* bytes from one row of the input to the next */
    int32_t padded_cells;                           /* number of cells with those in the padding */
} Window;

/* Compilation fails here if records have another size, or if negative numbers are not shifted arithmetically. */
typedef char record_has_the_planned_size[sizeof(Layer) == MODEL_RECORD_BYTES ? 1 : -1];
typedef char shift_keeps_the_sign[(-3 >> 1) == -2 ? 1 : -1];

/* Functions that stay functions: inlined into each other, they would lack registers in their loops. */
#ifdef __GNUC__
#define KERNEL static __attribute__((noinline))
#else
#define KERNEL static
#endif

enum { INPUT, CONV, DEPTHWISE, MAXPOOL, AVGPOOL, MEAN, ADD, SCALE };

static int8_t arena[MODEL_ARENA_BYTES];

static int32_t smaller(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t larger(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

#if USES_CONV || USES_DEPTHWISE || USES_MEAN || USES_ADD || USES_SCALE
/*
 * number * multiplier * 2^(shift - 31): multiplied with halves rounded up, then shifted right with halves rounded away
 * from zero. A number that is too large to be shifted left gives a result beyond all codes, and so does the limit.
 */
static int32_t rescale(int32_t number, int32_t multiplier, int32_t shift)
{
    int32_t high, mask;

    if (shift >= 0) {
        const int32_t limit = (1 << 30) >> shift;
        number = larger(-limit, smaller(number, limit)) * (1 << shift);
    }
    high = (int32_t)(((int64_t)number * multiplier + (1 << 30)) >> 31);
    if (shift >= 0)
        return high;
    mask = (int32_t)((1U << -shift) - 1U);
    return (high >> -shift) + ((high & mask) > (mask >> 1) + (high < 0));
}

/* The code of an output: clamped, then looked up in the table of the activation. */
static int8_t code(const Layer *layer, int32_t number)
{
    number = larger(layer->low, smaller(layer->high, number + layer->out_zero));
    return layer->has_table ? model_bytes[layer->bytes + (uint32_t)(number + 128)] : (int8_t)number;
}

/* The shifts of a layer, which follow its table. */
static const int8_t *shifts_of(const Layer *layer)
{
    return model_bytes + layer->bytes + (layer->has_table ? 256 : 0);
}
#endif

#if USES_INPUT
KERNEL void input(const Layer *layer, const Window *window, int8_t *output)
{
    const int8_t *table = model_bytes + layer->bytes;
    int32_t channel;

    for (channel = 0; channel < layer->channels; channel++) {
        output[channel] = table[(uint8_t)window->input[channel]];
        table += 256;
    }
}
#endif

#if USES_CONV || USES_DEPTHWISE
/* Channels that convolutions compute together, so that a code or an address is loaded once for all of them. */
enum { LANES = 4 };

/* Stores the codes of the sums of some channels; their biases and multipliers are `words`. */
KERNEL void store(const Layer *layer, const int32_t *sums, const int32_t *words, const int8_t *shifts, int32_t lanes,
                  int8_t *output)
{
    for (; lanes > 0; lanes--, words += 2)
        *output++ = code(layer, rescale(*sums++, words[1], *shifts++));
}
#endif

#if USES_CONV
/* Adds products of codes and weights to the sums of `lanes` output channels, whose weights are `step` bytes apart. */
KERNEL void add_products(const int8_t *x, const int8_t *weights, int32_t count, int32_t step, int32_t *sums,
                         int32_t lanes)
{
    if (lanes == LANES) {
        const int8_t *w0 = weights, *w1 = w0 + step, *w2 = w1 + step, *w3 = w2 + step, *end = x + count;
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        while (x != end) {
            const int32_t code = *x++;
            s0 += code * *w0++;
            s1 += code * *w1++;
            s2 += code * *w2++;
            s3 += code * *w3++;
        }
        sums[0] += s0;
        sums[1] += s1;
        sums[2] += s2;
        sums[3] += s3;
    } else {
        const int8_t *end = x + count;
        int32_t sum = 0;
        while (x != end)
            sum += *x++ * *weights++;
        sums[0] += sum;
    }
}

/* The sum of the weights of one output channel that are outside of the input. */
static int32_t outside(const Layer *layer, const Window *window, const int8_t *weights, int32_t channels)
{
    int32_t sum = 0, row, column, channel;

    for (row = 0; row < layer->kernel_height; row++) {
        for (column = 0; column < layer->kernel_width; column++, weights += channels) {
            if (row >= window->first_row && row < window->last_row
                && column >= window->first_column && column < window->last_column)
                continue;
            for (channel = 0; channel < channels; channel++)
                sum += weights[channel];
        }
    }
    return sum;
}

/*
 * The bias in model_words already contains -zero * (sum of all weights), so the loop over the weights multiplies codes
 * as they are. Cells in the padding have the code zero.
 */
KERNEL void conv(const Layer *layer, const Window *window, int8_t *output)
{
    const int32_t channels = layer->channels / layer->groups, outputs = layer->out_channels / layer->groups;
    const int32_t rows = window->last_row - window->first_row, columns = window->last_column - window->first_column;
    const int32_t kernel = layer->kernel_height * layer->kernel_width, step = kernel * channels;
    const int32_t *words = model_words + layer->words;
    const int8_t *shifts = shifts_of(layer), *weights = shifts + layer->out_channels;
    const int8_t *first = window->input;
    /* Without groups, the cells of a row are one run of contiguous codes. */
    const int32_t runs = layer->groups == 1 ? 1 : columns, run = layer->groups == 1 ? columns * channels : channels;
    int32_t done, left = outputs, lanes, lane, row, column, sums[LANES];

    for (done = 0; done < layer->out_channels; done += lanes, left -= lanes) {
        if (left == 0) {
            left = outputs;
            first += channels;
        }
        lanes = left >= LANES ? LANES : 1;
        for (lane = 0; lane < lanes; lane++)
            sums[lane] = words[2 * lane];
        for (row = 0; row < rows; row++) {
            const int8_t *x = first + row * window->pitch;
            const int8_t *w = weights
                + ((row + window->first_row) * layer->kernel_width + window->first_column) * channels;
            for (column = 0; column < runs; column++)
                add_products(x + column * layer->channels, w + column * run, run, step, sums, lanes);
        }
        for (lane = 0; lane < lanes && rows * columns < kernel; lane++)
            sums[lane] += layer->zero * outside(layer, window, weights + lane * step, channels);
        store(layer, sums, words, shifts + done, lanes, output + done);
        weights += lanes * step;
        words += 2 * lanes;
    }
}
#endif

#if USES_DEPTHWISE
/* The same for `lanes` adjacent channels with a kernel of their own, over `count` cells of a row. */
KERNEL void add_row(const Layer *layer, const int8_t *x, const int8_t *weights, int32_t count, int32_t *sums,
                    int32_t lanes)
{
    const int32_t zero = layer->zero, step = layer->channels, end = count * step;
    int32_t cell;

    if (lanes == LANES) {
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (cell = 0; cell < end; cell += step) {
            s0 += (x[cell] - zero) * weights[cell];
            s1 += (x[cell + 1] - zero) * weights[cell + 1];
            s2 += (x[cell + 2] - zero) * weights[cell + 2];
            s3 += (x[cell + 3] - zero) * weights[cell + 3];
        }
        sums[0] += s0;
        sums[1] += s1;
        sums[2] += s2;
        sums[3] += s3;
    } else {
        for (cell = 0; cell < end; cell += step)
            sums[0] += (x[cell] - zero) * weights[cell];
    }
}

KERNEL void depthwise(const Layer *layer, const Window *window, int8_t *output)
{
    const int32_t rows = window->last_row - window->first_row, columns = window->last_column - window->first_column;
    const int32_t channels = layer->channels;
    const int32_t *words = model_words + layer->words;
    const int8_t *shifts = shifts_of(layer);
    const int8_t *weights = shifts + channels
        + (window->first_row * layer->kernel_width + window->first_column) * channels;
    int32_t channel, lanes, lane, row, sums[LANES];

    for (channel = 0; channel < channels; channel += lanes) {
        lanes = channels - channel >= LANES ? LANES : 1;
        for (lane = 0; lane < lanes; lane++)
            sums[lane] = words[2 * lane];
        for (row = 0; row < rows; row++)
            add_row(layer, window->input + row * window->pitch + channel,
                    weights + row * layer->kernel_width * channels + channel, columns, sums, lanes);
        store(layer, sums, words, shifts + channel, lanes, output + channel);
        words += 2 * lanes;
    }
}
#endif

#if USES_MAXPOOL
KERNEL void maxpool(const Layer *layer, const Window *window, int8_t *output)
{
    const int32_t rows = window->last_row - window->first_row, columns = window->last_column - window->first_column;
    int32_t channel, row, column;

    for (channel = 0; channel < layer->channels; channel++) {
        int8_t largest = -128;
        for (row = 0; row < rows; row++) {
            const int8_t *x = window->input + row * window->pitch + channel;
            for (column = 0; column < columns; column++) {
                if (x[column * layer->channels] > largest)
                    largest = x[column * layer->channels];
            }
        }
        output[channel] = largest;
    }
}
#endif

#if USES_AVGPOOL || USES_MEAN
/* The sum of the codes of one channel; cells in the padding have the code zero. */
static int32_t sum_of(const Layer *layer, const Window *window, int32_t channel)
{
    const int32_t rows = window->last_row - window->first_row, columns = window->last_column - window->first_column;
    int32_t sum = layer->zero * (window->padded_cells - rows * columns), row, column;

    for (row = 0; row < rows; row++) {
        const int8_t *x = window->input + row * window->pitch + channel;
        for (column = 0; column < columns; column++)
            sum += x[column * layer->channels];
    }
    return sum;
}
#endif

#if USES_AVGPOOL
/* Halves are rounded away from zero. */
KERNEL void avgpool(const Layer *layer, const Window *window, int8_t *output)
{
    const int32_t cells = window->padded_cells;
    int32_t channel;

    for (channel = 0; channel < layer->channels; channel++) {
        const int32_t sum = sum_of(layer, window, channel);
        output[channel] = (int8_t)((sum < 0 ? sum - cells / 2 : sum + cells / 2) / cells);
    }
}
#endif

#if USES_MEAN
KERNEL void mean(const Layer *layer, const Window *window, int8_t *output)
{
    const int32_t multiplier = model_words[layer->words], zeros = layer->zero * window->padded_cells;
    int32_t channel;

    for (channel = 0; channel < layer->channels; channel++)
        output[channel] = code(layer, rescale(sum_of(layer, window, channel) - zeros, multiplier, *shifts_of(layer)));
}
#endif

#if USES_ADD
/* Both operands get 20 more bits and a common scale before they are added. */
KERNEL void add(const Layer *layer, const Window *window, int8_t *output)
{
    const int32_t *multipliers = model_words + layer->words;
    const int8_t *shifts = shifts_of(layer);
    const int8_t *other = arena + layer->other + (output - (arena + layer->output));
    int32_t channel;

    for (channel = 0; channel < layer->channels; channel++) {
        const int32_t a = (window->input[channel] - layer->zero) * (1 << 20);
        const int32_t b = (other[channel] - layer->other_zero) * (1 << 20);
        const int32_t sum = rescale(a, multipliers[0], shifts[0]) + rescale(b, multipliers[1], shifts[1]);
        output[channel] = code(layer, rescale(sum, multipliers[2], shifts[2]));
    }
}
#endif

#if USES_SCALE
KERNEL void scale(const Layer *layer, const Window *window, int8_t *output)
{
    const int32_t multiplier = model_words[layer->words];
    const int8_t *factors = arena + layer->other;
    int32_t channel;

    for (channel = 0; channel < layer->channels; channel++) {
        const int32_t product = (window->input[channel] - layer->zero) * (factors[channel] - layer->other_zero);
        output[channel] = code(layer, rescale(product, multiplier, *shifts_of(layer)));
    }
}
#endif

static Window window_at(const Layer *layer, int32_t out_row, int32_t out_column)
{
    const int32_t top = out_row * layer->stride - layer->padding, left = out_column * layer->stride - layer->padding;
    const int32_t height = layer->height, width = layer->width, channels = layer->channels, padding = layer->padding;
    Window window;

    window.first_row = larger(0, -top);
    window.last_row = smaller(layer->kernel_height, height - top);
    window.first_column = larger(0, -left);
    window.last_column = smaller(layer->kernel_width, width - left);
    window.pitch = width * channels;
    window.padded_cells = smaller(layer->kernel_height, height + padding - top)
        * smaller(layer->kernel_width, width + padding - left);
    window.input = arena + layer->input
        + (larger(0, top) * width + larger(0, left)) * channels;
    return window;
}

/*
 * Computes the pixels of the output one after the other: from the first to the last, or backward if the output begins
 * behind the input. So it may overlap the input on either side, as far as planned.
 */
static void run(const Layer *layer)
{
    const int32_t width = layer->out_width, pixels = layer->out_height * width;
    const int32_t backward = layer->output > layer->input;
    int32_t done;

    for (done = 0; done < pixels; done++) {
        const int32_t pixel = backward ? pixels - 1 - done : done;
        const Window window = window_at(layer, pixel / width, pixel % width);
        int8_t *output = arena + layer->output + pixel * layer->out_channels;
        switch (layer->operator) {
#if USES_INPUT
        case INPUT:
            input(layer, &window, output);
            break;
#endif
#if USES_CONV
        case CONV:
            conv(layer, &window, output);
            break;
#endif
#if USES_DEPTHWISE
        case DEPTHWISE:
            depthwise(layer, &window, output);
            break;
#endif
#if USES_MAXPOOL
        case MAXPOOL:
            maxpool(layer, &window, output);
            break;
#endif
#if USES_AVGPOOL
        case AVGPOOL:
            avgpool(layer, &window, output);
            break;
#endif
#if USES_MEAN
        case MEAN:
            mean(layer, &window, output);
            break;
#endif
#if USES_ADD
        case ADD:
            add(layer, &window, output);
            break;
#endif
#if USES_SCALE
        case SCALE:
            scale(layer, &window, output);
            break;
#endif
        default:
            break;
        }
    }
}
