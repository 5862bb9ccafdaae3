
/* The bytes of the image: MODEL_INPUT_HEIGHT rows of MODEL_INPUT_WIDTH pixels of MODEL_INPUT_CHANNELS bytes. */
uint8_t *model_input(void)
{
    return (uint8_t *)arena + MODEL_INPUT_OFFSET;
}

const int8_t *model_logits(void)
{
    return arena + MODEL_LOGITS_OFFSET;
}

int model_predict(void)
{
    const int8_t *logits = model_logits();
    int best = 0, index;

    for (index = 0; index < MODEL_LAYERS; index++)
        run(&layers[index]);
#if MODEL_LOGITS == 1
    best = logits[0];
    best = best >= MODEL_LEAST_LOGIT; /* an int, since no int8_t may reach the least logit: compilers warn of that */
#elif MODEL_CLASSES == 2
    best = logits[1] - logits[0] >= MODEL_LEAST_DIFFERENCE;
#else
    for (index = 1; index < MODEL_LOGITS; index++) {
        if (logits[index] > logits[best])
            best = index;
    }
#endif
    return best;
}
