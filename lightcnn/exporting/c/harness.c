/*
 * Runs a network on an emulated Cortex-M: reads images from images.bin and writes results.bin, through semihosting.
 *
 * For each image: int32 class, uint32 ticks of the timer, uint32 bytes of stack, and the codes of the logits. No
 * library is linked. Everything here is in memory of its own, apart from that of the network (harness.ld).
 */
#include "model.h"

#define TICKS_LEFT (*(volatile uint32_t *)0x40000004) /* timer 0 of the board, which counts down 25 million a second */
#define TIMER_CONTROL (*(volatile uint32_t *)0x40000000)
#define PAINT 0xA5A5A5A5U

enum { SYS_OPEN = 1, SYS_WRITE = 5, SYS_READ = 6, SYS_EXIT = 0x18, READ_BINARY = 1, WRITE_BINARY = 5 };

extern uint32_t stack_limit[], stack_top[], network_data_start[], network_data_end[];

static uint32_t host(uint32_t operation, const void *arguments)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static uint32_t open_file(const char *name, uint32_t length, uint32_t mode)
{
    const uint32_t arguments[] = {(uint32_t)name, mode, length};
    return host(SYS_OPEN, arguments);
}

/* Whether all bytes were read or written. */
static int transfer(uint32_t operation, uint32_t file, const void *bytes, uint32_t count)
{
    const uint32_t arguments[] = {file, (uint32_t)bytes, count};
    return host(operation, arguments) == 0;
}

static __attribute__((noinline)) void predict(uint32_t *result)
{
    volatile uint32_t *const top = (volatile uint32_t *)__builtin_frame_address(0) - 32;
    volatile uint32_t *word;
    uint32_t start, here;

    for (word = stack_limit; word < top; word++)
        *word = PAINT;
    __asm__ volatile("mov %0, sp" : "=r"(here));
    start = TICKS_LEFT;
    result[0] = (uint32_t)model_predict();
    result[1] = start - TICKS_LEFT;
    for (word = stack_limit; word < top && *word == PAINT;)
        word++;
    result[2] = here - (uint32_t)word;
}

void reset(void)
{
    const uint32_t size = MODEL_INPUT_HEIGHT * MODEL_INPUT_WIDTH * MODEL_INPUT_CHANNELS;
    const uint32_t images = open_file("images.bin", 10, READ_BINARY);
    const uint32_t results = open_file("results.bin", 11, WRITE_BINARY);
    uint32_t result[3], *word;

    for (word = network_data_start; word < network_data_end; word++)
        *(volatile uint32_t *)word = 0;
    TICKS_LEFT = 0xFFFFFFFFU;
    TIMER_CONTROL = 1;
    while (transfer(SYS_READ, images, model_input(), size)) {
        predict(result);
        transfer(SYS_WRITE, results, result, sizeof result);
        transfer(SYS_WRITE, results, model_logits(), MODEL_LOGITS);
    }
    host(SYS_EXIT, (const void *)0x20026); /* the program ended as intended */
}

static void fault(void)
{
    host(SYS_EXIT, (const void *)0x20023); /* an error while it ran */
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {
    stack_top, (const void *)reset, (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault, (const void *)fault,
};
