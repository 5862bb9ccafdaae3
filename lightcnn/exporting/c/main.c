/*
 * Prints the class of an image: ./predict IMAGE
 *
 * IMAGE is a binary PGM (P5, one channel) or PPM (P6, three channels) of the size of the network, with 8 bits per
 * channel. Exit status 0: predicted, 2: the image cannot be used. For computers; a device calls model_predict().
 */
#include <stdio.h>

#include "model.h"

#define PIXEL_BYTES (MODEL_INPUT_HEIGHT * MODEL_INPUT_WIDTH * MODEL_INPUT_CHANNELS)

static const char *const class_names[MODEL_CLASSES] = {MODEL_CLASS_NAMES};

/* The next number of the header, or -1. Numbers follow white space and comments (# to the end of the line). */
static long read_number(FILE *file)
{
    int c = fgetc(file), digits = 0;
    long number = 0;

    while (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '#') {
        while (c == '#') {
            while (c != '\n' && c != EOF)
                c = fgetc(file);
        }
        c = fgetc(file);
    }
    for (; c >= '0' && c <= '9' && digits < 7; digits++) {
        number = number * 10 + (c - '0');
        c = fgetc(file);
    }
    if (digits == 0 || !(c == ' ' || c == '\t' || c == '\r' || c == '\n'))
        return -1;
    return number;
}

/* Reads an image into the input of the network. Returns NULL, or why that is not possible. */
static const char *read_image(FILE *file, uint8_t *pixels)
{
    if (fgetc(file) != 'P' || fgetc(file) != (MODEL_INPUT_CHANNELS == 1 ? '5' : '6'))
        return MODEL_INPUT_CHANNELS == 1 ? "is not a binary PGM (P5)" : "is not a binary PPM (P6)";
    if (read_number(file) != MODEL_INPUT_WIDTH || read_number(file) != MODEL_INPUT_HEIGHT)
        return "does not have the width and height of the network, or its header is damaged";
    if (read_number(file) != 255)
        return "does not have 8 bits per channel (255), or its header is damaged";
    if (fread(pixels, 1, PIXEL_BYTES, file) != PIXEL_BYTES)
        return "is too short";
    return fgetc(file) == EOF ? NULL : "is too long";
}

int main(int count, char **arguments)
{
    const char *problem;
    FILE *file;
    int predicted, index;

    if (count != 2) {
        fprintf(stderr, "usage: %s IMAGE (%s, %d x %d pixels)\n", count > 0 ? arguments[0] : "predict",
                MODEL_INPUT_CHANNELS == 1 ? "PGM" : "PPM", MODEL_INPUT_WIDTH, MODEL_INPUT_HEIGHT);
        return 2;
    }
    file = fopen(arguments[1], "rb");
    if (file == NULL) {
        perror(arguments[1]);
        return 2;
    }
    problem = read_image(file, model_input());
    fclose(file);
    if (problem != NULL) {
        fprintf(stderr, "%s %s; give %d x %d pixels\n", arguments[1], problem, MODEL_INPUT_WIDTH, MODEL_INPUT_HEIGHT);
        return 2;
    }
    predicted = model_predict();
    printf("class %d: %s\n", predicted, class_names[predicted]);
    for (index = 0; index < MODEL_LOGITS; index++)
        printf("logit %d: %.6g\n", index, MODEL_LOGITS_SCALE * (model_logits()[index] - MODEL_LOGITS_ZERO));
    return 0;
}
