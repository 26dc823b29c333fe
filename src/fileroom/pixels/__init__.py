"""Images: compressed frames decoded and encoded, data sets transcoded, frames shown as pictures.

Everything here is bytes and numbers in, bytes and refusals out, and takes as long as the image
is large: callers run it in threads. numpy and the codecs are loaded at the first frame, never at
import.

    compressed frames       codestream (what a frame says of itself), image_pixel (what the data
                            set says of it), decoding, encoding, encapsulating
    another transfer syntax transcoding
    a picture of a frame    view (what is asked), presentation (what the data set says of it), lut;
                            rendering: samples, then grayscale or colour, then scaling

Owns: nothing durable (callers give it bytes)
Never: files, network, clock, logging, any other room than dicom
Start at: decoding.py
"""
