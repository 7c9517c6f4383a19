#!/usr/bin/env python3
"""Several chats at a time with asyncio, one batch on the engine: chat_async.py MODEL QUESTION ..."""
import asyncio
import sys

import quern


async def answer(engine, question):
    prompt = engine.chat_prompt([{"role": "user", "content": question}])
    text = ""
    async for update in engine.astream(prompt, quern.SamplingParams(max_tokens=48, greedy=True)):
        text += update.text
    return text


async def main():
    with quern.Engine(sys.argv[1]) as engine:
        answers = await asyncio.gather(*(answer(engine, question) for question in sys.argv[2:]))
    for question, text in zip(sys.argv[2:], answers):
        print(f"> {question}\n{text}\n")


asyncio.run(main())
